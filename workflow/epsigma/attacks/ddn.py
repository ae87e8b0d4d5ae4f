"""The decoupled direction and norm attack (DDN), in ℓ2."""

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import l2_norms, normalise
from epsigma.attacks.nearest import Search, anneal, check_search

# The step size at first and at last, in units of the pixel range, and the first norm.
FIRST_STEP, LAST_STEP, FIRST_NORM = 1.0, 0.01, 1.0
_TINY = 1e-12


def ddn(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    kappa: float,
    steps: int = 300,
    gamma: float = 0.05,
) -> Tensor:
    """Ascend the cross-entropy on a sphere that shrinks on success and grows on failure.

    δ ← δ + α·g/‖g‖₂, brought to the length ε, then x + δ into the pixel range. ε starts at 1 and
    is multiplied by 1 − γ after a success, by 1 + γ after a failure. α falls from 1 to 0.01 along
    half a cosine. Values are not quantised.

    Args:
        kappa: κ, the lead that the logits of a success have, from 0 on.
        steps: how many, the first from the image.
        gamma: γ, the share by which the norm changes, below 1.

    Returns:
        (N, C, H, W): of each image the nearest misclassified one that was met, or, if there was
        none or the image is misclassified as it is, the image itself.

    Source: Rony, Hafemann, Oliveira, Ben Ayed, Sabourin & Granger 2019 (arXiv:1811.09600),
    algorithm 1; untargeted.
    """
    check_search(kappa=kappa, steps=steps, gamma=gamma)
    search, at = Search.begin(model, images, labels, kappa)
    if not len(at):
        return images.clone()
    origin, x = search.images, search.images.clone()
    most = l2_norms(torch.maximum(origin, 1 - origin))
    eps = torch.full_like(most, FIRST_NORM)
    for step in range(steps):
        delta = x - origin
        distance = l2_norms(delta).flatten()
        if step == steps - 1:
            search.keep(x, distance, search.lead(x) > 0)
            break
        gradient, lead = search.follow(x, "cross_entropy")
        found = lead > 0
        search.keep(x, distance, found)
        delta.add_(normalise(gradient), alpha=anneal(FIRST_STEP, LAST_STEP, step, steps))
        eps = eps * torch.where(found, 1 - gamma, 1 + gamma).view_as(eps)
        eps = torch.minimum(eps, most)
        x = delta.mul_(eps / l2_norms(delta).clamp_(min=_TINY)).add_(origin).clamp_(0, 1)
    return search.end(images, at)
