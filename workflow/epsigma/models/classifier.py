"""Trained classifiers: reading their checkpoints, and computing their logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.loading import load
from epsigma.storage.checkpoint import load_weights, read_checkpoint
from epsigma.storage.files import damaged
from epsigma.storage.images import batches

# Images on which a model is tried before it is trained.
TRIED = 16


class ModelError(ValueError):
    """A model, or weights, that cannot be used; the message says why, and what to do."""


def build_model(
    implementation: str, shape: tuple[int, int, int], classes: int, parameters: dict[str, Any]
) -> nn.Module:
    """Make an untrained model by its implementation, `module:name`, and hyper-parameters."""
    model = load(implementation)(shape, classes, **parameters)
    if not isinstance(model, nn.Module):
        raise TypeError(f"{implementation} made a {type(model).__name__}, not an nn.Module")
    return model


@torch.no_grad()
def check_outputs(model: nn.Module, images: Tensor, classes: int) -> None:
    """Check what a model returns for a few real images; its modules are left in their modes.

    Raises:
        ModelError: if it raises, or its outputs are not finite logits (N, K) in floating point:
            rows that are non-negative and sum to one are probabilities.
    """
    few = images[:TRIED]
    expected = (len(few), classes)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        logits = model(few)
    except Exception as error:
        raise ModelError(
            f"asked about images {tuple(few.shape)}, it raised {type(error).__name__}: {error}; "
            "make the model for images of this shape"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"asked about images {tuple(few.shape)}, it returned {shape}, not a tensor {expected}; "
            "return one logit for each image and class"
        )
    if not logits.is_floating_point() or not logits.isfinite().all():
        raise ModelError(
            f"its outputs are not finite numbers, but {logits.dtype} such as "
            f"{logits.flatten()[:3].tolist()}; look for overflows and damaged weights"
        )
    if (logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-4).all():
        raise ModelError(
            "its outputs are probabilities (no row has a negative number, and each sums to one), "
            "whose gradients vanish; return logits, without the softmax at the end"
        )


def load_classifier(
    checkpoint: str | Path, settings: dict[str, Any], device: torch.device
) -> nn.Module:
    """Read a trained classifier out of a Lightning checkpoint, without executing a pickle.

    The model is in eval mode, its parameters frozen. Its `implementation` and `parameters` come
    from the caller, not from the file: a file cannot name code to run.

    Raises:
        ValueError: if the checkpoint is damaged, holds pickled objects, or is another model's.
    """
    about, weights = read_checkpoint(checkpoint)
    try:
        classes = int(about["classes"])
    except (LookupError, TypeError, ValueError) as error:
        raise damaged(checkpoint, error) from error
    model = build_model(settings["implementation"], about["shape"], classes, settings["parameters"])
    load_weights(model, weights, checkpoint)
    # With the weights in this order, convolutions and their gradients take a sixth to a third less.
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def most_probable(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Find the class of the largest of logits (N, K), and its softmax probability; (N,) each.

    The class comes from the logits: softmax rounds small differences away.
    """
    classes = logits.argmax(1)
    return classes, logits.softmax(1).gather(1, classes.unsqueeze(1)).squeeze(1)


@torch.no_grad()
def predict(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Compute logits (N, K) of images (N, C, H, W), batch by batch."""
    return torch.cat([model(batch) for (batch,) in batches(images)])
