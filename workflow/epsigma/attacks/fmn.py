"""The fast minimum-norm attack (FMN), in ℓ∞, ℓ2, ℓ1 and ℓ0."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from epsigma.attacks.balls import l2_norms, shorten
from epsigma.attacks.nearest import Search, anneal, check_search

# Where the step size ends, as a share of where it starts, and γ (the authors' code).
LAST_STEP, LAST_GAMMA = 0.01, 0.001
# The first radius in ℓ0.
FIRST_COUNT = 1
_TINY = 1e-12


@dataclass(frozen=True)
class _Norm:
    """What a norm decides; δ is (M, D), radii are (M, 1).

    Args:
        measure: the norms (M, 1) of δ.
        dual: the dual norms (M, 1) of gradients; None where distances are counts.
        project: brings δ, in place, into balls of these radii.
    """

    measure: Callable[[Tensor], Tensor]
    dual: Callable[[Tensor], Tensor] | None
    project: Callable[[Tensor, Tensor], Tensor]


def _largest(delta: Tensor) -> Tensor:
    return delta.abs().amax(1, keepdim=True)


def _sum(delta: Tensor) -> Tensor:
    return delta.abs().sum(1, keepdim=True)


def _count(delta: Tensor) -> Tensor:
    return (delta != 0).sum(1, keepdim=True).to(delta)


def _clip(delta: Tensor, eps: Tensor) -> Tensor:
    return torch.clamp(delta, -eps, eps, out=delta)


def _shrink(delta: Tensor, eps: Tensor) -> Tensor:
    """Project onto ℓ1 balls: shrink every |δ_i| by τ, so that they sum to ε.

    Newton's method rises to τ in finitely many steps: Σ max(|δ_i| − τ, 0) is convex in τ.
    """
    size = delta.abs()
    tau = torch.zeros_like(eps)
    while True:
        over = (size > tau).to(size)
        count = over.sum(1, keepdim=True).clamp_(min=1)
        found = (torch.linalg.vecdot(size, over).unsqueeze(1) - eps) / count
        if not (found > tau).any():
            break
        tau = torch.maximum(tau, found)
    return delta.sub_(torch.clamp(delta, -tau, tau))


def _keep_largest(delta: Tensor, eps: Tensor) -> Tensor:
    """Project onto ℓ0 balls: keep the ε largest |δ_i|, no more of equal ones."""
    size = delta.abs()
    least = _find_ranked(size, eps)
    kept = (size >= least) & (eps > 0)
    count = kept.sum(1, keepdim=True)
    if (count > eps).any():
        # Of those that equal the least one, as many as there is room for.
        equal = size == least
        room = eps - (size > least).sum(1, keepdim=True)
        kept &= ~equal | (equal.cumsum(1) <= room)
    return delta.mul_(kept)


def _find_ranked(size: Tensor, rank: Tensor) -> Tensor:
    """Return of each row (M, D) the value of a rank (M, 1), 1 for the largest, as (M, 1)."""
    width = size.shape[1]
    if size.device.type == "cpu":
        # NumPy sorts floats in a tenth of the time that torch takes to find the largest.
        ordered = torch.from_numpy(np.sort(size.detach().numpy(), axis=1))
        return ordered.gather(1, (width - rank).long().clamp_(0, width - 1))
    most = max(1, min(int(rank.max()), width))
    ordered = size.topk(most, dim=1).values
    return ordered.gather(1, (rank - 1).long().clamp_(0, most - 1))


LINF = _Norm(_largest, _sum, _clip)
L2 = _Norm(l2_norms, l2_norms, shorten)
L1 = _Norm(_sum, _largest, _shrink)
L0 = _Norm(_count, None, _keep_largest)


def fmn(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    kappa: float,
    steps: int = 300,
    step_size: float = 10,
    gamma: float = 0.05,
) -> Tensor:
    """Ascend the margin in a ball that shrinks on success and grows on failure, in ℓ∞.

    δ ← Π(δ + α·g/‖g‖₂), Π onto the ball and the pixel range. The radius ε is multiplied by 1 − γ
    after a success, whose distance it does not exceed, and by 1 + γ after a failure. Until the
    first success it is at least ‖δ‖ plus the distance to the boundary if the margin were linear;
    were it just that, as in the paper, a ball of which the pixel range cuts much off would stop
    growing. α and γ fall along half a cosine, to 0.01 of α and to 0.001.

    Args:
        kappa: κ, the lead that the logits of a success have, from 0 on.
        steps: how many, the first from the image.
        step_size: α at first, in ℓ2, in units of the pixel range.
        gamma: γ at first, below 1.

    Returns:
        (N, C, H, W): of each image the nearest misclassified one that was met, or, if there was
        none or the image is misclassified as it is, the image itself.

    Source: Pintor, Roli, Brendel & Biggio 2021 (arXiv:2102.12827), algorithm 1; untargeted.
    """
    return _minimise(LINF, model, images, labels, kappa, steps, step_size, gamma)


def fmn_l2(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    kappa: float,
    steps: int = 300,
    step_size: float = 1,
    gamma: float = 0.05,
) -> Tensor:
    """Ascend the margin in a ball that shrinks on success and grows on failure, in ℓ2: `fmn`."""
    return _minimise(L2, model, images, labels, kappa, steps, step_size, gamma)


def fmn_l1(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    kappa: float,
    steps: int = 300,
    step_size: float = 1,
    gamma: float = 0.05,
) -> Tensor:
    """Ascend the margin in a ball that shrinks on success and grows on failure, in ℓ1: `fmn`."""
    return _minimise(L1, model, images, labels, kappa, steps, step_size, gamma)


def fmn_l0(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    kappa: float,
    steps: int = 300,
    step_size: float = 1,
    gamma: float = 0.05,
) -> Tensor:
    """Ascend the margin in a ball that shrinks on success and grows on failure, in ℓ0: `fmn`.

    The norm counts values, of all channels. The radius starts at 1 and changes by 1 at least.
    """
    return _minimise(L0, model, images, labels, kappa, steps, step_size, gamma)


def _minimise(
    norm: _Norm,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    kappa: float,
    steps: int,
    step_size: float,
    gamma: float,
) -> Tensor:
    check_search(kappa=kappa, steps=steps, gamma=gamma, step_size=step_size)
    search, at = Search.begin(model, images, labels, kappa)
    if not len(at):
        return images.clone()
    origin, x = search.images.flatten(1), search.images.clone()
    most = norm.measure(torch.maximum(origin, 1 - origin))
    eps = torch.full_like(most, FIRST_COUNT if norm.dual is None else 0)
    spare = torch.empty_like(origin)
    for step in range(steps):
        delta = torch.sub(x.flatten(1), origin, out=spare)
        distance = norm.measure(delta)
        if step == steps - 1:
            search.keep(x, distance.squeeze(1), search.lead(x) > 0)
            break
        gradient, lead = search.follow(x, "margin")
        found, flat = (lead > 0).unsqueeze(1), gradient.flatten(1)
        search.keep(x, distance.squeeze(1), lead > 0)
        best = search.length.unsqueeze(1)
        rate = anneal(gamma, min(gamma, LAST_GAMMA), step, steps)
        if norm.dual is None:
            eps = _count_on(eps, found, best, rate)
        else:
            eps = torch.where(found, torch.minimum(eps * (1 - rate), best), eps * (1 + rate))
            new = best.isinf()
            if new.any():
                reach = lead.abs().unsqueeze(1) / norm.dual(flat).clamp_(min=_TINY)
                eps = torch.where(new, torch.maximum(distance + reach, eps), eps)
        eps = torch.minimum(eps, most)
        alpha = anneal(step_size, step_size * LAST_STEP, step, steps)
        delta.addcmul_(flat, alpha / l2_norms(flat).clamp_(min=_TINY))
        # The next δ takes the place of this x.
        spare = x.flatten(1)
        x = norm.project(delta, eps).add_(origin).clamp_(0, 1).view_as(x)
    return search.end(images, at)


def _count_on(eps: Tensor, found: Tensor, best: Tensor, gamma: float) -> Tensor:
    """Return the next radius in ℓ0: whole, and another one."""
    less = torch.minimum(torch.minimum(eps - 1, (eps * (1 - gamma)).floor_()), best)
    more = torch.maximum(eps + 1, (eps * (1 + gamma)).floor_())
    return torch.where(found, less, more).clamp_(min=0)
