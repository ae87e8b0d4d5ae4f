"""The nearest point of a hyperplane in the pixel range."""

import torch
from torch import Tensor

# A gradient this short has no direction.
_TINY = 1e-30


def move_onto_hyperplane(points: Tensor, gradient: Tensor, value: Tensor, norm: str) -> Tensor:
    """Find the shortest δ that brings each point onto its hyperplane without leaving [0, 1].

    The hyperplane of a point p is where value + gradient · δ = 0. Feature i moves towards it by
    min(λ, r_i) in ℓ∞ and by min(λ·|g_i|, r_i) in ℓ2, r_i being its room in the pixel range; λ is
    where the features together make up for the value. Their sum is concave in λ and has a corner
    where a feature has used up its room, so that Newton's method from λ = 0 rises to the solution
    and is there after finitely many steps, a few as a rule: no feature has to be sorted.

    Args:
        points: (M, D), in [0, 1].
        gradient: (M, D), the normal of each hyperplane.
        value: (M,), what the linear function is at the point.
        norm: the norm of δ, `linf` or `l2`.

    Returns:
        δ (M, D). Where the pixel range does not reach the hyperplane, every feature goes as far
        towards it as it can; where the gradient is 0, δ is 0.

    Source: Croce & Hein 2020 (arXiv:1907.02044), section 2.1, equations 3 to 6, who sort.
    """
    weight = gradient.abs()
    # Squares of small gradients are lost in float32.
    scale = weight.amax(1, keepdim=True).clamp_(min=_TINY)
    weight = weight.div_(scale)
    missing = value.abs().unsqueeze(1) / scale
    towards = torch.sign(gradient).mul_(value.sign().neg_().unsqueeze(1))
    # Its room is p or 1 − p; that of a feature without a gradient counts for nothing.
    room = torch.where(towards > 0, 1 - points, points)
    if norm == "linf":
        level = _find_level(weight, weight * room, room, missing)
        return torch.minimum(room, level, out=room).mul_(towards)
    level = _find_level(weight.square(), weight * room, room / weight, missing)
    # 0 · ∞ is no number: without a gradient no feature moves.
    move = weight.mul_(level).nan_to_num_(nan=0.0)
    return torch.minimum(room, move, out=room).mul_(towards)


def _find_level(slope: Tensor, most: Tensor, corner: Tensor, missing: Tensor) -> Tensor:
    """Solve Σ min(slope·λ, most) = missing for the smallest λ, (M, 1); ∞ if there is none.

    Args:
        slope: (M, D), how much each feature gains a unit of λ, up to its corner.
        most: (M, D), what it has gained from its corner on.
        corner: (M, D), most / slope.
        missing: (M, 1), at least 0.
    """
    total = most.sum(1, keepdim=True)
    level = torch.zeros_like(missing)
    while True:
        rising = (corner > level).to(slope)
        gained = total - torch.linalg.vecdot(most, rising).unsqueeze(1)
        rate = torch.linalg.vecdot(slope, rising).unsqueeze(1)
        # Where nothing rises any more, 0 / 0 is reached and 1 / 0 out of reach.
        found = ((missing - gained) / rate).nan_to_num_(nan=0.0, posinf=torch.inf)
        if not (found > level).any():
            return level
        level = torch.maximum(level, found)
