"""What an attack ascends: losses of the logits, one value an example."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """J(θ, x, y), the loss that the model was trained on.

    Args:
        logits: (N, K) float.
        labels: (N,) int64, the true classes.

    Returns:
        (N,) float, at least 0.
    """
    return functional.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Max over j ≠ y of Z_j, minus Z_y: positive exactly when the example is misclassified.

    The f6 of Carlini & Wagner (2017), untargeted and with κ = ∞. Arguments as in `cross_entropy`.

    Returns:
        (N,) float.
    """
    true = labels.unsqueeze(1)
    others = logits.scatter(1, true, -torch.inf)
    return others.amax(1) - logits.gather(1, true).squeeze(1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
}
