"""What an attack ascends: losses of the logits, one value an example."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

# What another batch size makes of a logit, relative to the largest one.
_ROUNDING = 1e-5


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """J(θ, x, y), (N,) of logits (N, K) and classes (N,): the loss that models are trained on."""
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Max over j ≠ y of Z_j, minus Z_y, (N,): positive exactly when the example is misclassified.

    The f6 of Carlini & Wagner (2017), untargeted and with κ = ∞.
    """
    true = labels.unsqueeze(1)
    others = logits.scatter(1, true, -torch.inf)
    return others.amax(1) - logits.gather(1, true).squeeze(1)


def clear_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the margin less what another batch size may make of it, (N,).

    For attacks that end where the margin is 0: where this is positive, the example is
    misclassified in any batch.
    """
    return margin(logits, labels).sub_(logits.abs().amax(1), alpha=_ROUNDING)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
}
