"""The gradient that attacks follow."""

import torch
from torch import Tensor, nn

from epsigma.attacks.losses import LOSSES, TARGETED_LOSSES, Loss
from epsigma.detectors.rejection import attacked_logits

# In the place of ±∞: of some 10⁷ such values float32 still knows the sum of the squares.
STEEPEST = 1e15


def check_loss(loss: str) -> str:
    """Return `loss`, or raise ValueError if it is no key of `LOSSES`."""
    if loss not in LOSSES:
        raise ValueError(f"loss = {loss!r} is none of {', '.join(LOSSES)}")
    return loss


def find_loss(loss: str, targets: Tensor | None = None) -> Loss:
    """Find a loss by its name; one of `TARGETED_LOSSES` aims at `targets` (N,), classes.

    If these are None, it aims at the most probable wrong class.
    """
    if loss not in TARGETED_LOSSES:
        return LOSSES[loss]
    aimed = TARGETED_LOSSES[loss]
    return lambda logits, labels: aimed(logits, labels, targets)


def input_gradient(
    model: nn.Module, images: Tensor, labels: Tensor, loss: str
) -> tuple[Tensor, Tensor]:
    """Differentiate the loss with respect to the images.

    Args:
        loss: a key of `LOSSES`, or of `TARGETED_LOSSES`: see `find_loss`.

    Returns:
        ∇ₓ of each example's loss, (N, C, H, W), and the logits (N, K), both detached. The loss is
        summed, not averaged: each example's gradient is its own, whatever the batch. It is finite
        (`make_finite`).
    """
    gradient, logits, _ = differentiate(model, images, labels, find_loss(loss))
    return gradient, logits


def differentiate(
    model: nn.Module, images: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate a loss of logits (N, K) and labels (N,), as `input_gradient` does.

    Returns:
        ∇ₓ of each example's loss, (N, C, H, W), the logits (N, K) and the losses (N,).
    """
    gradient, logits, losses = differentiate_as_is(model, images, labels, loss)
    return make_finite(gradient), logits, losses


def make_finite(gradient: Tensor) -> Tensor:
    """Replace what is not a number by 0, what is infinite by ±`STEEPEST`.

    A pixel without a gradient stays where it is; one of infinite slope has a direction, and of
    several the length of all has one, too.
    """
    # One sum costs a hundredth of a gradient.
    if gradient.sum().isfinite():
        return gradient
    return gradient.nan_to_num(nan=0, posinf=STEEPEST, neginf=-STEEPEST)


def differentiate_as_is(
    model: nn.Module, images: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Differentiate as `differentiate` does, and leave in the gradient what is not a number."""
    x = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = attacked_logits(model, x, labels)
        losses = loss(logits, labels)
        (gradient,) = torch.autograd.grad(losses.sum(), x)
    # That of a sum is one number for all, which nobody can change in place.
    own = gradient.clone() if 0 in gradient.stride() else gradient
    return own, logits.detach(), losses.detach()
