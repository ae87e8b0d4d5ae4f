"""Trained classifiers: reading their checkpoints, and asking them."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.files import damaged
from epsigma.kinds import load
from epsigma.tensors import batches

# What torch.load raises for a file that is damaged or holds more than tensors and plain values.
UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError)


def build(
    implementation: str, shape: tuple[int, int, int], classes: int, parameters: dict[str, Any]
) -> nn.Module:
    """Make an untrained model.

    Args:
        implementation: as in `epsigma.kinds.Kind`.
        shape: (C, H, W) of an image.
        classes: how many.
        parameters: hyper-parameters by keyword.
    """
    model = load(implementation)(shape, classes, **parameters)
    if not isinstance(model, nn.Module):
        raise TypeError(f"{implementation} made a {type(model).__name__}, not an nn.Module")
    return model


def load_classifier(
    checkpoint: str | Path, settings: dict[str, Any], device: torch.device
) -> nn.Module:
    """Read a trained classifier out of a Lightning checkpoint, without executing a pickle.

    Args:
        checkpoint: written by `epsigma.stages.train`.
        settings: the model's `implementation` and `parameters`. They come from the caller, not
            from the file: a file cannot name code to run.
        device: where to.

    Returns:
        The model in eval mode, its parameters frozen.

    Raises:
        ValueError: if the checkpoint is damaged, holds pickled objects, or belongs to another
            model.
    """
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        about = content["hyper_parameters"]
        shape, classes = tuple(about["shape"]), int(about["classes"])
        weights = {key.removeprefix("model."): w for key, w in content["state_dict"].items()}
    except (*UNREADABLE, LookupError, TypeError, AttributeError) as error:
        raise damaged(checkpoint, str(error).partition("\n")[0]) from error
    model = build(settings["implementation"], shape, classes, settings["parameters"])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise damaged(checkpoint, error) from error
    return model.to(device).eval().requires_grad_(False)


def most_probable(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Find each example's class of the largest logit, and its softmax probability.

    Args:
        logits: (N, K).

    Returns:
        (N,) int64 and (N,) float. The class comes from the logits: softmax rounds small
        differences away.
    """
    classes = logits.argmax(1)
    return classes, logits.softmax(1).gather(1, classes.unsqueeze(1)).squeeze(1)


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Compute logits (N, K) of images (N, C, H, W), batch by batch."""
    return torch.cat([model(batch) for (batch,) in batches(images)])
