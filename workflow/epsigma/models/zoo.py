"""Networks by their names in other libraries."""

import difflib
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from epsigma.models.classifier import ModelError

# Names that an error suggests.
SUGGESTED = 5


def make(
    shape: tuple[int, int, int],
    classes: int,
    *,
    library: str,
    architecture: str,
    parameters: dict[str, Any],
) -> nn.Module:
    """Make the network that a library calls by this name, without weights of its own.

    Nothing is downloaded. The library is imported here, and only here.

    Args:
        shape: (C, H, W) of the images that it is given; torchvision's networks want three channels.
        classes: K.
        library: `torchvision`, `timm` or `efficientnet_lite_pytorch`.
        architecture: its name there, such as `resnet18`.
        parameters: what the library takes besides, by keyword.

    Raises:
        ModelError: if the library is not installed, has no such network, or cannot make it.
    """
    try:
        module = importlib.import_module(library)
    except ImportError as error:
        package = library.replace("_", "-")
        raise ModelError(
            f"library {library} cannot be imported ({error}): install it into the environment "
            f"that runs epsigma, .venv/bin/python -m pip install {package}"
        ) from error
    names, create = _LIBRARIES[library](module, shape, classes)
    if architecture not in names:
        near = difflib.get_close_matches(architecture, names, SUGGESTED, 0.4) or list(names)
        raise ModelError(
            f"{library} has no network {architecture!r}; it has {', '.join(near[:SUGGESTED])}"
            f"{' and others' if len(names) > SUGGESTED else ''}"
        )
    try:
        return create(architecture, **parameters)
    except Exception as error:
        raise ModelError(
            f"{library} could not make {architecture} for images {shape}, {classes} classes and "
            f"parameters {parameters}: {type(error).__name__}: {error}; correct `architecture` or "
            "`parameters`"
        ) from error


Library = tuple[Sequence[str], Callable[..., nn.Module]]


def _of_torchvision(_: Any, shape: tuple[int, int, int], classes: int) -> Library:
    models: Any = importlib.import_module("torchvision.models")

    def create(name: str, **parameters: Any) -> nn.Module:
        made: nn.Module = models.get_model(name, weights=None, num_classes=classes, **parameters)
        return made

    return models.list_models(module=models), create


def _of_timm(module: Any, shape: tuple[int, int, int], classes: int) -> Library:
    def create(name: str, **parameters: Any) -> nn.Module:
        made: nn.Module = module.create_model(
            name, pretrained=False, in_chans=shape[0], num_classes=classes, **parameters
        )
        return made

    return module.list_models(), create


def _of_efficientnet_lite(module: Any, shape: tuple[int, int, int], classes: int) -> Library:
    def create(name: str, **parameters: Any) -> nn.Module:
        made: nn.Module = module.EfficientNet.from_name(
            name, in_channels=shape[0], num_classes=classes, **parameters
        )
        return made

    return [f"efficientnet-lite{size}" for size in range(5)], create


_LIBRARIES: dict[str, Callable[[Any, tuple[int, int, int], int], Library]] = {
    "torchvision": _of_torchvision,
    "timm": _of_timm,
    "efficientnet_lite_pytorch": _of_efficientnet_lite,
}
