"""Projected gradient descent, in the ℓ∞ and the ℓ2 ball."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.gradient import check_loss, input_gradient
from epsigma.attacks.losses import LOSSES
from epsigma.detectors.rejection import attacked_logits

# What step_size is, times eps / steps, if it is not given (Madry et al. 2018, section 5.1).
REACH = 2.5
# A gradient this short has no direction.
_TINY = 1e-30
# The squares of shorter ones are lost in float32, as the gradients of confident models are.
_SQUARABLE = 1e-15

OPTIMIZERS = ("steepest", "adam")
# Adam's, as Kingma & Ba (2015) have them.
_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.999, 1e-8

Projection = Callable[[Tensor], Tensor]
# From the gradient of some rows, and which of all rows they are, to their step of length about 1.
Direction = Callable[[Tensor, Tensor | slice], Tensor]


@dataclass(frozen=True)
class Ball:
    """What a norm decides: all functions work in place on (N, C, H, W) and return their result.

    Args:
        start: makes a random δ of the ball out of an empty tensor, a radius and a generator.
        direction: makes the steepest step of length 1 out of a gradient.
        projection: makes, of images and a radius, the function that brings points into the ball
            around the images and into the pixel range.
    """

    start: Callable[[Tensor, float, torch.Generator | None], Tensor]
    direction: Callable[[Tensor], Tensor]
    projection: Callable[[Tensor, float], Projection]


def _uniform(delta: Tensor, eps: float, generator: torch.Generator | None) -> Tensor:
    return delta.uniform_(-eps, eps, generator=generator)


def _into_box(images: Tensor, eps: float) -> Projection:
    low, high = (images - eps).clamp_(min=0), (images + eps).clamp_(max=1)
    return lambda x: torch.clamp(x, low, high, out=x)


def _in_l2(delta: Tensor, eps: float, generator: torch.Generator | None) -> Tensor:
    """Draw uniformly from the ℓ2 ball: a direction from the sphere, a radius from u^(1/d)."""
    delta.normal_(generator=generator)
    u = torch.empty_like(delta[:, :1, :1, :1]).uniform_(generator=generator)
    return _unit(delta).mul_(u.pow_(1 / delta[0].numel()).mul_(eps))


def _length(delta: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2, 3), keepdim=True, dtype=dtype)
    return length


def _unit(gradient: Tensor) -> Tensor:
    length = _length(gradient)
    if not ((length > _SQUARABLE) & (length < 1 / _SQUARABLE)).all():
        length = _length(gradient, torch.float64).to(length)
    return gradient.div_(length.clamp_(min=_TINY))


def _into_sphere(images: Tensor, eps: float) -> Projection:
    def shorten(x: Tensor) -> Tensor:
        delta = x.sub_(images)
        delta.mul_((eps / _length(delta).clamp_(min=_TINY)).clamp_(max=1))
        return delta.add_(images).clamp_(0, 1)

    return shorten


LINF = Ball(start=_uniform, direction=Tensor.sign_, projection=_into_box)
L2 = Ball(start=_in_l2, direction=_unit, projection=_into_sphere)


def _steepest(ball: Ball) -> Direction:
    return lambda gradient, _: ball.direction(gradient)


def _adam(like: Tensor) -> Direction:
    """Make Adam's directions for rows that are all worked on from the start until they are done.

    Each gradient is brought to length 1 first: where the loss changes its terms, so may its scale.
    """
    mean, square = torch.zeros_like(like), torch.zeros_like(like)
    count = 0

    def direction(gradient: Tensor, at: Tensor | slice) -> Tensor:
        nonlocal count
        count += 1
        gradient = _unit(gradient)
        mean[at] = first = mean[at].lerp_(gradient, 1 - _BETA1)
        square[at] = second = square[at].lerp_(gradient.square_(), 1 - _BETA2)
        length = (second / (1 - _BETA2**count)).sqrt_().add_(_ADAM_EPS)
        return (first / (1 - _BETA1**count)).div_(length)

    return direction


def pgd(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, **hyperparameters: Any
) -> Tensor:
    """Ascend the loss in the ℓ∞ ball: x ← Π(x + α·sign ∇ₓJ(θ, x, y)), steps times.

    Arguments, result and source as in `ascend`; `eps` is in [0, 1].
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps} is outside [0, 1]")
    return ascend(model, images, labels, LINF, eps=eps, **hyperparameters)


def pgd_l2(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, **hyperparameters: Any
) -> Tensor:
    """Ascend the loss in the ℓ2 ball: x ← Π(x + α·∇ₓJ / ‖∇ₓJ‖₂), steps times.

    Arguments, result and source as in `ascend`; `eps` is at least 0 and finite.
    """
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps} is no finite number from 0 on")
    return ascend(model, images, labels, L2, eps=eps, **hyperparameters)


def ascend(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ball: Ball,
    *,
    eps: float,
    steps: int = 40,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    early_stop: bool = False,
    optimizer: str = "steepest",
    loss: str = "cross_entropy",
    on_step: Callable[[Tensor], None] | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ascend the loss, each step projected onto the ball, then onto the pixel range.

    Args:
        model: from images to logits, in eval mode.
        images: (N, C, H, W) float in [0, 1]; not modified.
        labels: (N,) int64, the true classes.
        ball: the norm.
        eps: radius of the ball.
        steps: how many.
        step_size: α, in the units of `eps`; if None, 2.5·ε / steps.
        random_start: start at a uniformly drawn point of the ball (clipped to the pixel range).
        restarts: runs; without `random_start` they would all be the same, and one is made. Of
            each example the first misclassified result counts, else the one of the largest loss.
        early_stop: an example that is misclassified is left alone from then on.
        optimizer: `steepest`, the steepest step of length α in the norm; or `adam`, whose steps of
            about α a value remember the gradients before: where these turn at every step, as at
            the edge of what a detector accepts, it gets on.
        loss: a key of `LOSSES`.
        on_step: called at each step with the losses (M,) of the examples that are worked on.
        generator: draws the starts; torch's global one if None.

    Returns:
        (N, C, H, W), in [0, 1] and within `eps` of `images`.

    Raises:
        ValueError: if `steps` or `restarts` is less than 1, `step_size` is not positive and
            finite, or `loss` or `optimizer` is unknown.

    Source: Madry, Makelov, Schmidt, Tsipras & Vladu 2018 (arXiv:1706.06083), section 2.1; in ℓ2 the
    steepest ascent is along the gradient itself (their appendix). With Adam, Uesato, O'Donoghue,
    van den Oord & Kohli 2018 (arXiv:1802.05666), section 4.
    """
    if steps < 1 or restarts < 1:
        raise ValueError(f"steps = {steps} and restarts = {restarts} must be at least 1")
    if step_size is not None and not 0 < step_size < math.inf:
        raise ValueError(f"step_size = {step_size} is not positive and finite")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer = {optimizer!r} is none of {', '.join(OPTIMIZERS)}")
    alpha = REACH * eps / steps if step_size is None else step_size
    check_loss(loss)
    runs = restarts if random_start else 1
    best = images.clone()
    # Of what has been kept so far: misclassified examples are at +∞, where nothing is better.
    height = torch.full(labels.shape, -torch.inf, device=images.device)
    for _ in range(runs):
        x = images.clone()
        if random_start:
            x += ball.start(torch.empty_like(images), eps, generator)
            x.clamp_(0, 1)
        todo = height < torch.inf
        if not todo.any():
            break
        left = todo if early_stop else None
        direction = _adam(x) if optimizer == "adam" else _steepest(ball)
        _climb(model, x, images, labels, ball, direction, eps, steps, alpha, loss, left, on_step)
        if runs == 1:
            return x
        reached = _height(model, x, labels, loss)
        better = reached > height
        best[better] = x[better]
        height = torch.maximum(height, reached)
    return best


def _climb(
    model: nn.Module,
    x: Tensor,
    images: Tensor,
    labels: Tensor,
    ball: Ball,
    direction: Direction,
    eps: float,
    steps: int,
    alpha: float,
    loss: str,
    todo: Tensor | None,
    on_step: Callable[[Tensor], None] | None,
) -> None:
    """Ascend from x, in place. With `todo` (N,), only what it marks, until it is misclassified."""
    if todo is None:
        project = ball.projection(images, eps)
        for _ in range(steps):
            gradient, logits = input_gradient(model, x, labels, loss)
            if on_step:
                on_step(LOSSES[loss](logits, labels))
            project(x.add_(direction(gradient, slice(None)), alpha=alpha))
            # Its memory is the next step's.
            del gradient
        return
    at = todo.nonzero().squeeze(1)
    for _ in range(steps):
        here, origin, true = x[at], images[at], labels[at]
        gradient, logits = input_gradient(model, here, true, loss)
        right = logits.argmax(1) == true
        at = at[right]
        if not len(at):
            return
        if on_step:
            on_step(LOSSES[loss](logits[right], true[right]))
        project = ball.projection(origin[right], eps)
        x[at] = project(here[right].add_(direction(gradient[right], at), alpha=alpha))


@torch.no_grad()
def _height(model: nn.Module, x: Tensor, labels: Tensor, loss: str) -> Tensor:
    """Say how good a result is: its loss, or +∞ if it is misclassified; (N,)."""
    logits = attacked_logits(model, x, labels)
    return LOSSES[loss](logits, labels).masked_fill_(logits.argmax(1) != labels, torch.inf)
