"""A model of the user's own making."""

import copy
import importlib
from typing import Any

from torch import nn

from epsigma.models.classifier import ModelError


def make(
    shape: tuple[int, int, int], classes: int, *, factory: str, parameters: dict[str, Any]
) -> nn.Module:
    """Call the user's function, `package.module:function`, of shape, classes and `parameters`.

    Raises:
        ModelError: if it is not found, raises, or returns no `nn.Module`.
    """
    where, _, name = factory.partition(":")
    try:
        module = importlib.import_module(where)
    except Exception as error:
        raise ModelError(
            f"factory {factory}: importing {where} raised {_explain(error)}; modules are sought in "
            "the working directory, then on Python's path: correct the module, or `factory`"
        ) from error
    try:
        function = getattr(module, name)
    except AttributeError as error:
        raise ModelError(
            f"factory {factory}: {module.__file__} has no {name!r}; define it there, or correct "
            "`factory`"
        ) from error
    try:
        model = function(shape, classes, **copy.deepcopy(parameters))
    except Exception as error:
        raise ModelError(
            f"factory {factory}: called with shape {shape}, classes {classes} and parameters "
            f"{parameters}, it raised {_explain(error)}; correct the function, or `parameters`"
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"factory {factory}: it returned a {type(model).__name__}, not a torch.nn.Module; "
            "return the model itself"
        )
    return model


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
