"""What an attack ascends: losses of the logits, one value an example."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]

# What another batch size makes of a logit, relative to the largest one.
ROUNDING = 1e-5
# Nothing to divide by: logits that all are equal have no scale.
_TINY = 1e-12


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
    return margin(logits, labels).sub_(logits.abs().amax(1), alpha=ROUNDING)


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio, (N,): the margin / (Z_π1 − Z_π3), π by falling logits.

    Unlike the cross-entropy it does not change when the logits are scaled or shifted. Where the
    three largest are equal it is 0.

    Raises:
        ValueError: with fewer than three classes: there is no third logit.

    Source: Croce & Hein 2020 (arXiv:2003.01690), equation 6.
    """
    first, _, third = _largest(logits, 3, "dlr").unbind(1)
    return margin(logits, labels) / (first - third).clamp(min=_TINY)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """(Z_t − Z_y) / (Z_π1 − (Z_π3 + Z_π4) / 2), (N,), of target classes t (N,); as `dlr`.

    If `targets` is None, t is the most probable wrong class.

    Raises:
        ValueError: with fewer than four classes: there is no fourth logit.

    Source: Croce & Hein 2020 (arXiv:2003.01690), equation 7.
    """
    first, _, third, fourth = _largest(logits, 4, "targeted_dlr").unbind(1)
    spread = first - (third + fourth) / 2
    return targeted_margin(logits, labels, targets) / spread.clamp(min=_TINY)


def targeted_margin(logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
    """Z_t − Z_y, (N,), of target classes t (N,); if None, the most probable wrong ones."""
    if targets is None:
        return margin(logits, labels)
    aimed, true = logits.gather(1, torch.stack([targets, labels], 1)).unbind(1)
    return aimed - true


def _largest(logits: Tensor, count: int, loss: str) -> Tensor:
    """Return the largest logits, (N, count), falling."""
    if logits.shape[1] < count:
        raise ValueError(
            f"the loss {loss} divides by a difference to the logit of rank {count}, and there are "
            f"{logits.shape[1]} classes: take cross_entropy or margin"
        )
    return logits.topk(count).values


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "margin": margin,
    "dlr": dlr,
}

# Those that need a class to aim at, too.
TARGETED_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "targeted_dlr": targeted_dlr,
    "targeted_margin": targeted_margin,
}
