"""Trained classifiers: reading their checkpoints, and computing their logits."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.loading import load
from epsigma.models.preprocessing import Normalize, Preprocessed, ResizeCrop
from epsigma.storage.batches import Images, batches
from epsigma.storage.checkpoint import load_weights, read_checkpoint
from epsigma.storage.files import damaged

CONTIGUOUS = "contiguous"


class ModelError(ValueError):
    """A model, or weights, that cannot be used; the message says why, and what to do."""


def build_model(
    implementation: str,
    shape: tuple[int, int, int],
    classes: int,
    parameters: dict[str, Any],
    preprocess: dict[str, Any] | None = None,
    normalize: dict[str, Any] | None = None,
) -> nn.Module:
    """Make an untrained model by its implementation, `module:name`, and hyper-parameters.

    Args:
        preprocess: `resize`, `crop` and `interpolation`, for a network of images of another size;
            None for one of images as they are.
        normalize: `mean` and `std`, for a network of normalised images; None for one of images in
            [0, 1]. With either the network is part of a `Preprocessed`.

    Raises:
        ModelError: if the images are too small to crop, or the numbers are not as many as channels,
            or too small to divide by.
    """
    try:
        resized = ResizeCrop(shape, **preprocess) if preprocess else None
        normalized = Normalize(**normalize, channels=shape[0]) if normalize else None
    except ValueError as error:
        raise ModelError(str(error)) from None
    model = load(implementation)(resized.shape if resized else shape, classes, **parameters)
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{implementation} made a {type(model).__name__}, not an nn.Module: return the model "
            "itself"
        )
    return Preprocessed(model, resized, normalized) if resized or normalized else model


def adapt(model: nn.Module, needs: Collection[str]) -> None:
    """Have a model asked as it needs it; `epsigma.models.trial.try_model` finds out what that is.

    Its modules, and the names of its weights, stay as they are.

    Args:
        needs: some of `NEEDS`.
    """
    for need, hooks in NEEDS.items():
        if need in needs:
            hooks(model)


def _ask_with_copy(model: nn.Module) -> None:
    model.register_forward_pre_hook(lambda _, given: (given[0].clone(),))


def _ask_with_contiguous(model: nn.Module) -> None:
    model.register_forward_pre_hook(lambda _, given: (given[0].contiguous(),))


def _return_dtype_of_images(model: nn.Module) -> None:
    model.register_forward_hook(lambda _, given, logits: logits.to(given[0].dtype))


# A model that changes its input in place is asked about copies; one that views across strides, only
# about contiguous images, and its weights stay contiguous; logits of another floating type are
# brought to that of the images, float32.
NEEDS: dict[str, Callable[[nn.Module], None]] = {
    "copy": _ask_with_copy,
    CONTIGUOUS: _ask_with_contiguous,
    "float32": _return_dtype_of_images,
}


def load_classifier(
    checkpoint: str | Path, settings: dict[str, Any], device: torch.device
) -> nn.Module:
    """Read a trained classifier out of a Lightning checkpoint, without executing a pickle.

    The model is in eval mode, its parameters frozen; what it needs of those who ask it, it has
    (`adapt`). Its settings (`implementation`, `parameters`, perhaps `preprocess` and
    `normalize`) come from the caller, not from the file: a file cannot name code to run.

    Raises:
        ValueError: if the checkpoint is damaged, holds pickled objects, or is another model's.
    """
    about, weights = read_checkpoint(checkpoint)
    try:
        classes = int(about["classes"])
    except (LookupError, TypeError, ValueError) as error:
        raise damaged(checkpoint, error) from error
    model = build_model(shape=about["shape"], classes=classes, **settings)
    load_weights(model, weights, checkpoint)
    needs = about.get("needs", ())
    adapt(model, needs)
    model.to(device)
    if CONTIGUOUS not in needs:
        # So convolutions and their gradients take a sixth to a third less.
        model.to(memory_format=torch.channels_last)
    return model


def most_probable(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Find the class of the largest of logits (N, K), and its softmax probability; (N,) each.

    The class comes from the logits: softmax rounds small differences away.
    """
    classes = logits.argmax(1)
    return classes, logits.softmax(1).gather(1, classes.unsqueeze(1)).squeeze(1)


@torch.no_grad()
def predict(model: Callable[[Tensor], Tensor], images: Images) -> Tensor:
    """Compute logits (N, K) of images (N, C, H, W), batch by batch."""
    return torch.cat([model(batch) for (batch,) in batches(images)])
