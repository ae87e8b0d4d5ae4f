"""The gradient that attacks follow."""

import torch
from torch import Tensor, nn

from epsigma.attacks.losses import LOSSES
from epsigma.detectors.rejection import attacked_logits


def check_loss(loss: str) -> str:
    """Return `loss`, or raise ValueError if it is no key of `LOSSES`."""
    if loss not in LOSSES:
        raise ValueError(f"loss = {loss!r} is none of {', '.join(LOSSES)}")
    return loss


def input_gradient(
    model: nn.Module, images: Tensor, labels: Tensor, loss: str
) -> tuple[Tensor, Tensor]:
    """Differentiate the loss with respect to the images.

    Args:
        loss: a key of `LOSSES`.

    Returns:
        ∇ₓ of each example's loss, (N, C, H, W), and the logits (N, K), both detached. The loss is
        summed, not averaged: each example's gradient is its own, whatever the batch.
    """
    x = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = attacked_logits(model, x, labels)
        (gradient,) = torch.autograd.grad(LOSSES[loss](logits, labels).sum(), x)
    # That of a sum is one number for all, which nobody can change in place.
    own = gradient.clone() if 0 in gradient.stride() else gradient
    return own, logits.detach()
