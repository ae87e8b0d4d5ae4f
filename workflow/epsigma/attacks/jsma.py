"""The Jacobian-based saliency map attack: few features, changed by much, two at a time."""

import math

import torch
from torch import Tensor, nn

from epsigma.attacks.shares import count_features

OUTPUTS = ("logits", "softmax")

# What the search holds at most, in bytes for each feature of each row that it looks at at once.
_BYTES = 128
# More than what rounding to float32 takes off a sum of numbers up to 1.
_SLACK = 4e-6
# Less than any derivative that float32 can tell from 0.
_TINY = 1e-45


def jsma(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    gamma: float,
    targets: Tensor,
    theta: float = 1.0,
    outputs: str = "softmax",
    memory: int = 256,
) -> Tensor:
    """Change two features by θ at a time, the most salient pair, until the target is predicted.

    Of the outputs F, a pair of features has α, the derivative of F_t summed over both, and β, that
    of all other outputs. The pair changed is that of the largest −αβ among those with α > 0 and
    β < 0; if θ is negative, among those with α < 0 and β > 0. A feature that is at the end of the
    pixel range that θ points to leaves the search. An image is done when the target is predicted,
    no pair is left, or the budget is spent; at once if the target is its label.

    Args:
        gamma: Υ, in [0, 1]: at most ⌊C·H·W·Υ / 2⌋ pairs are changed; at least one, or Υ is 0.
        targets: (N,) int64, which class each image is to be taken for.
        theta: θ, what a feature is changed by, in [−1, 1] and not 0; the result is clipped.
        outputs: what F is: `logits`, or `softmax`, of which β = −α, since they sum to one, and
            whose derivative vanishes where the model is sure.
        memory: what the search for pairs may hold at once, in MiB; it does not change the result.
            One image always fits, at 128 bytes a feature.

    Raises:
        TypeError: if `targets` is no int64 tensor.
        ShareError: if Υ is not 0 and allows no pair.

    Source: Papernot, McDaniel, Jha, Fredrikson, Celik & Swami 2016 (arXiv:1511.07528), algorithms 2
    and 3; for negative θ, their saliency map for features that decrease.
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma = {gamma} is outside [0, 1]")
    if not 0 < abs(theta) <= 1:
        raise ValueError(f"theta = {theta} is 0 or outside [-1, 1]")
    if outputs not in OUTPUTS:
        raise ValueError(f"outputs = {outputs!r} is none of {', '.join(OUTPUTS)}")
    if memory < 1:
        raise ValueError(f"memory = {memory} is less than 1 MiB")
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        what = getattr(targets, "dtype", type(targets).__name__)
        raise TypeError(f"targets are {what}, not an int64 tensor: give one class for each image")
    if targets.shape != labels.shape:
        raise ValueError(
            f"targets have the shape {tuple(targets.shape)}, the labels {tuple(labels.shape)}: "
            "repeat an image for each of its targets"
        )
    shape = images.shape[1:]
    pairs = count_features(gamma, math.prod(shape), at_once=2) // 2
    result = images.flatten(1).clone()
    # Of the images still attacked: their places in the batch, values and targets.
    at = (labels != targets).nonzero().squeeze(1)
    x, goal = result[at], targets[at]
    for _ in range(pairs):
        if not len(at):
            break
        alpha, beta, predicted = _differentiate(model, x.view(-1, *shape), goal, outputs)
        left = (predicted != goal).nonzero().squeeze(1)
        x, at, goal, alpha, beta = (kept[left] for kept in (x, at, goal, alpha, beta))
        if theta > 0:
            pair, found = salient_pairs(alpha, beta.neg_(), x < 1, memory=memory)
        else:
            pair, found = salient_pairs(alpha.neg_(), beta, x > 0, memory=memory)
        x, at, goal, pair = (kept[found] for kept in (x, at, goal, pair))
        x.scatter_(1, pair, x.gather(1, pair).add_(theta).clamp_(0, 1))
        result[at] = x
    return result.view_as(images)


def _differentiate(
    model: nn.Module, images: Tensor, targets: Tensor, outputs: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ∂F_t/∂x and Σ_{j≠t} ∂F_j/∂x, (N, d), and the predicted classes, (N,)."""
    x = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(x)
        if not 0 <= targets.min() <= targets.max() < logits.shape[1]:
            raise ValueError(f"targets are no classes: the model has 0 to {logits.shape[1] - 1}")
        found = logits if outputs == "logits" else logits.softmax(1)
        target = found.gather(1, targets.unsqueeze(1)).sum()
        if outputs == "softmax":
            (alpha,) = torch.autograd.grad(target, x)
            beta = -alpha
        else:
            (alpha,) = torch.autograd.grad(target, x, retain_graph=True)
            (total,) = torch.autograd.grad(found.sum(), x)
            beta = total.sub_(alpha)
    return alpha.flatten(1), beta.flatten(1), logits.detach().argmax(1)


def salient_pairs(
    rise: Tensor, fall: Tensor, live: Tensor, *, memory: int
) -> tuple[Tensor, Tensor]:
    """Find the pair p ≠ q of largest u·v with u = rise_p + rise_q > 0 and v = fall_p + fall_q > 0.

    Exact, without a table of all pairs. A bound leaves out the features of which no pair can be as
    good as one that is easily found: on trained models a handful remains. Since u·v grows in both,
    neither is a feature needed that two others exceed or equal in both: put the one of them that
    is not its partner in its place. What remains is compared pair by pair. Of pairs that are
    equally good, which one is found does not depend on the other rows.

    Args:
        rise: (N, d) float, how the target's output rises with each feature.
        fall: (N, d) float, how the others fall.
        live: (N, d) bool, the features that may be chosen; one with a derivative that is not
            finite is not chosen either.
        memory: what may be held at once, in MiB; never less than one row needs.

    Returns:
        The pairs, (N, 2) int64, and which rows have one, (N,) bool; the others' are meaningless.
    """
    count, features = rise.shape
    pairs = torch.zeros(count, 2, dtype=torch.int64, device=rise.device)
    found = torch.zeros(count, dtype=torch.bool, device=rise.device)
    if features < 2:
        return pairs, found
    rows = max(1, memory * 2**20 // (_BYTES * features))
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        pairs[part], found[part] = _find_pairs(rise[part], fall[part], live[part])
    return pairs, found


def _find_pairs(rise: Tensor, fall: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
    dead = ~(live & ((rise + fall).abs() < torch.inf))
    rise, fall = rise.masked_fill(dead, -torch.inf), fall.masked_fill(dead, -torch.inf)
    features = _list_marked(_mark_promising(rise, fall))
    rise, fall = _gather_padded(rise, features), _gather_padded(fall, features)
    rise, order = rise.sort(dim=1, descending=True, stable=True)
    fall, features = fall.gather(1, order), features.gather(1, order)
    front = _list_marked(_mark_front(fall))
    pairs, found = _compare_pairs(_gather_padded(rise, front), _gather_padded(fall, front))
    return features.gather(1, front.gather(1, pairs).clamp_(min=0)), found


def _mark_promising(rise: Tensor, fall: Tensor) -> Tensor:
    """Mark the features that may be in a pair as good as one that is easily found; (N, d).

    That pair has u* and v*. Any other is as good only if uv* + vu* ≥ 2u*v*, since the mean is at
    least the geometric one. The left side is a sum of one term a feature, s = rise·v* + fall·u*,
    and a partner adds max s to it at best.
    """
    most_rise, most_fall = rise.amax(1, keepdim=True), fall.amax(1, keepdim=True)
    marks = (rise > -most_rise) & (fall > -most_fall)
    # In units of the largest, where float32 neither overflows nor loses the small.
    rise = rise / most_rise.clamp(min=_TINY)
    fall = fall / most_fall.clamp(min=_TINY)
    first = _product(rise + 1, fall + 1).argmax(1, keepdim=True)
    value = _product(rise + rise.gather(1, first), fall + fall.gather(1, first))
    value, second = value.scatter_(1, first, 0).max(1, keepdim=True)
    pair = torch.cat([first, second], 1)
    u, v = (one.gather(1, pair).sum(1, keepdim=True) for one in (rise, fall))
    s = rise.mul_(v).add_(fall.mul_(u))
    least = 2 * u * v - s.amax(1, keepdim=True) - _SLACK * (u + v)
    # Where no pair was found, u and v mean nothing.
    return marks & ((s >= least) | (value == 0))


def _product(u: Tensor, v: Tensor) -> Tensor:
    """u·v, in place, and 0 unless both are positive."""
    return u.clamp_(min=0).mul_(v.clamp_(min=0))


def _mark_front(fall: Tensor) -> Tensor:
    """Mark those of (N, k) features, most rising first, that one at most before them equals."""
    most = fall.cummax(1).values
    # Of a feature and the two that fall most before it: the running second maximum.
    second = torch.minimum(fall[:, 1:], most[:, :-1]).cummax(1).values
    marks = fall > -torch.inf
    marks[:, 2:] &= fall[:, 2:] > second[:, :-1]
    return marks


def _compare_pairs(rise: Tensor, fall: Tensor) -> tuple[Tensor, Tensor]:
    """Compare all pairs of (N, k) candidates, padded by −∞ at their ends; as `salient_pairs`."""
    counts, order = (rise > -torch.inf).sum(1).sort(descending=True, stable=True)
    rise, fall = rise[order], fall[order]
    most = rise.new_zeros(len(rise))
    pairs = torch.zeros(len(rise), 2, dtype=torch.int64, device=rise.device)
    # From the rows with most candidates down to those that still have two so far apart.
    for apart in range(1, rise.shape[1]):
        n = int((counts > apart).sum())
        value = _product(rise[:n, apart:] + rise[:n, :-apart], fall[:n, apart:] + fall[:n, :-apart])
        value, first = value.max(1)
        better = value > most[:n]
        most[:n] = torch.where(better, value, most[:n])
        pair = torch.stack([first, first + apart], 1)
        pairs[:n] = torch.where(better.unsqueeze(1), pair, pairs[:n])
    back = order.argsort()
    return pairs[back], most[back] > 0


def _list_marked(marks: Tensor) -> Tensor:
    """List where rows (N, d) are marked, in order: (N, the most marks, at least 2), −1 after."""
    counts = marks.sum(1)
    row, column = marks.nonzero(as_tuple=True)
    place = torch.arange(len(row), device=marks.device) - (counts.cumsum(0) - counts)[row]
    longest = max([2, *counts.tolist()])
    where = torch.full((len(marks), longest), -1, device=marks.device)
    where[row, place] = column
    return where


def _gather_padded(values: Tensor, where: Tensor) -> Tensor:
    """Take the values (N, d) at `_list_marked` places, −∞ where there is none; float64."""
    return values.gather(1, where.clamp(min=0)).double().masked_fill_(where < 0, -torch.inf)
