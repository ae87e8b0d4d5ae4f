"""Checkpoints of what was trained here: reading them without executing a pickle."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.storage.files import damaged

# What torch.load raises for a file that is damaged or holds more than tensors and plain values.
UNREADABLE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError),
    *(EOFError, OSError, ValueError, NotImplementedError),
)


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a Lightning checkpoint, without executing a pickle.

    Returns:
        Its `hyper_parameters`, of which `shape` is a tuple (C, H, W), and the weights by name.
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


def load_weights(model: nn.Module, weights: dict[str, Tensor], path: str | Path) -> nn.Module:
    """Put a checkpoint's weights into a model; it is then in eval mode, its parameters frozen."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise damaged(path, error) from error
    return model.eval().requires_grad_(False)
