"""Checkpoints of what was trained here: reading them without executing a pickle."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.files import damaged
from epsigma.kinds import load
from epsigma.shared import Shared

# What torch.load raises for a file that is damaged or holds more than tensors and plain values.
UNREADABLE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError),
    *(EOFError, OSError, ValueError, NotImplementedError),
)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a Lightning checkpoint.

    Returns:
        Its `hyper_parameters`, of which `shape` is a tuple (C, H, W), and the weights by name.

    Raises:
        ValueError: if it is damaged or holds pickled objects; the message names the remedy.
    """
    try:
        # torch.load looks at no checksum.
        with zipfile.ZipFile(path) as archive:
            if altered := archive.testzip():
                raise ValueError(f"altered since it was written: {altered}")
        content = torch.load(path, map_location="cpu", weights_only=True)
        about = dict(content["hyper_parameters"])
        about["shape"] = tuple(about["shape"])
        weights = {key.removeprefix("model."): w for key, w in content["state_dict"].items()}
    except (*UNREADABLE, LookupError, TypeError, AttributeError) as error:
        raise damaged(path, str(error).partition("\n")[0]) from error
    return about, weights


def fill(model: nn.Module, weights: dict[str, Tensor], path: str | Path) -> nn.Module:
    """Put a checkpoint's weights into a model; it is then in eval mode, its parameters frozen.

    Raises:
        ValueError: if they are another model's; the message names the file and the remedy.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise damaged(path, error) from error
    return model.eval().requires_grad_(False)


def load_autoencoder(settings: dict[str, Any], device: torch.device) -> nn.Module:
    """Read a trained autoencoder.

    Args:
        settings: its `implementation`, `parameters` and `checkpoint`.
        device: where to.

    Returns:
        From images to images in [0, 1], in eval mode, its parameters frozen; what detectors and a
        reformer ask of the same checkpoint is `Shared`.

    Raises:
        ValueError: if the checkpoint is damaged, or belongs to another.
    """
    about, weights = read_checkpoint(settings["checkpoint"])
    made: nn.Module = load(settings["implementation"])(about["shape"], **settings["parameters"])
    fill(made, weights, settings["checkpoint"])
    # Convolutions of few channels take a third to a half of the time so.
    made.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Brought into the pixel range here, so that all who ask get the same tensor.
    within = nn.Sequential(made, nn.Hardtanh(0, 1)).eval()
    return Shared(within, settings["checkpoint"])
