"""Fooling images by gradient ascent: they show nothing, and the model is sure of their class."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import L2
from epsigma.attacks.confidence import count_classes, log_odds, needed_log_odds
from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.losses import cross_entropy

# How far the noise of the start `mean` moves a pixel.
_JITTER = 0.05


def fooling(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    confidence: float,
    start: str = "noise",
    steps: int = 1000,
    learning_rate: float = 0.1,
    on_step: Callable[[Tensor], None] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ascend the log-probability of a class until the model is confident of it.

    A step goes along the gradient of log p, made to a fixed length, without the pixels that
    would leave [0, 1]. The gradient of a wrong class's log p does not vanish where the model is
    sure of another, as that of p itself does. Where there is no way up (dead units, a corner of
    the pixel range) a row starts anew, at noise of a random range of grey. Each row stops at the
    confidence; one that does not get there comes back as the most confident image on its way.

    Args:
        images: (N, C, H, W), the data set's; only their shape and their mean count.
        labels: (M,) int64, the classes aimed at; rows of the same class differ.
        confidence: softmax probability to reach, in (0, 1); it is passed by a little, so that it
            holds too when the images are scored in another batch.
        start: a key of `STARTS`: `noise`, uniform in [0, 1], or `mean`, the mean of `images`. If
            several rows aim at one class, each gets noise of at most 0.05 a pixel of its own.
        steps: how many, at most.
        learning_rate: ℓ2 length of a step, in units of the pixel range.

    Returns:
        (M, C, H, W), in [0, 1], of the type of `images`.

    Source: Nguyen, Yosinski & Clune 2015 (arXiv:1412.1897), the section on gradient ascent; here
    without their optional L2 regularisation.
    """
    if start not in STARTS:
        raise ValueError(f"start = {start!r} is none of {', '.join(STARTS)}")
    if steps < 1:
        raise ValueError(f"steps = {steps} is less than 1")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate = {learning_rate} is not positive and finite")
    needed = needed_log_odds(confidence)
    count_classes(model, images, labels)
    x = STARTS[start](images, labels, generator)
    result = x.clone()
    best = torch.full(labels.shape, -torch.inf, dtype=x.dtype, device=x.device)
    at = torch.arange(len(labels), device=x.device)
    for step in range(steps + 1):
        if not len(at):
            break
        aims = labels[at]
        gradient, logits = input_gradient(model, x, aims, "cross_entropy")
        height = log_odds(logits, aims)
        better = height > best[at]
        result[at[better]], best[at[better]] = x[better], height[better]
        left = height < needed
        if not left.all():
            at, x, gradient, logits = (kept[left] for kept in (at, x, gradient, logits))
        if step == steps or not len(at):
            break
        if on_step:
            on_step(cross_entropy(logits, labels[at]))
        _step(x, gradient.neg_(), learning_rate, generator)
    return result


def _draw_noise(images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
    return images.new_empty((len(labels), *images.shape[1:])).uniform_(generator=generator)


def _draw_around_mean(images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
    noise = _draw_noise(images, labels, generator).mul_(2 * _JITTER).sub_(_JITTER)
    alone = torch.bincount(labels)[labels] == 1
    noise[alone] = 0
    return noise.add_(images.mean(0)).clamp_(0, 1)


STARTS: dict[str, Callable[[Tensor, Tensor, torch.Generator | None], Tensor]] = {
    "noise": _draw_noise,
    "mean": _draw_around_mean,
}


def _step(
    x: Tensor, uphill: Tensor, learning_rate: float, generator: torch.Generator | None
) -> None:
    """Take a step, in place; a row that cannot is set anywhere."""
    uphill.masked_fill_(((x <= 0) & (uphill < 0)) | ((x >= 1) & (uphill > 0)), 0)
    size = uphill.flatten(1).abs().amax(1)
    stuck = ~((size > 0) & (size < torch.inf))
    x.add_(L2.direction(uphill), alpha=learning_rate).clamp_(0, 1)
    if stuck.any():
        x[stuck] = _draw_anew(x[stuck], generator)


def _draw_anew(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw images of noise, each within a range of grey of its own, like x in shape."""
    ends = x.new_empty((2, len(x), 1, 1, 1)).uniform_(generator=generator)
    noise = torch.empty_like(x).uniform_(generator=generator)
    return torch.lerp(ends[0], ends[1], noise)
