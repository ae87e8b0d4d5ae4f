"""A model of the user's own making."""

import copy
import importlib
import inspect
from typing import Any

from torch import nn

from epsigma.models.classifier import ModelError


def make(
    shape: tuple[int, int, int], classes: int, *, factory: str, parameters: dict[str, Any]
) -> nn.Module:
    """Call the user's function, `package.module:function`, of shape, classes and `parameters`.

    One that takes `num_classes` and no shape, as torchvision's do, is called with that.

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
        model = _call(function, shape, classes, copy.deepcopy(parameters))
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


def _call(
    function: Any, shape: tuple[int, int, int], classes: int, parameters: dict[str, Any]
) -> Any:
    takes_shape = _takes(function, shape, classes, **parameters)
    if not takes_shape and _takes(function, num_classes=classes, **parameters):
        return function(num_classes=classes, **parameters)
    return function(shape, classes, **parameters)


def _takes(function: Any, *given: Any, **named: Any) -> bool:
    """Whether a function's signature, if it has one, admits these arguments."""
    try:
        inspect.signature(function).bind(*given, **named)
    except (TypeError, ValueError):
        return False
    return True


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
