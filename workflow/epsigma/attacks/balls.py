"""The balls that attacks stay in: how to start in one, to step, and to get back into it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# A gradient this short has no direction.
_TINY = 1e-30
# The squares of shorter ones are lost in float32, as the gradients of confident models are.
_SQUARABLE = 1e-15

Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ball:
    """What a norm decides. All functions work in place on (N, C, H, W) and return their result.

    Args:
        start: makes a random δ of the ball out of an empty tensor, a radius and a generator.
        direction: makes the steepest step of length 1 out of a gradient.
        projection: makes, of images and a radius, the function that brings points into the ball
            around the images and into the pixel range.
    """

    start: Callable[[Tensor, float, torch.Generator | None], Tensor]
    direction: Callable[[Tensor], Tensor]
    projection: Callable[[Tensor, float], Projection]


def _draw_in_box(delta: Tensor, eps: float, generator: torch.Generator | None) -> Tensor:
    return delta.uniform_(-eps, eps, generator=generator)


def _project_onto_box(images: Tensor, eps: float) -> Projection:
    low, high = (images - eps).clamp_(min=0), (images + eps).clamp_(max=1)
    return lambda x: torch.clamp(x, low, high, out=x)


def _draw_in_sphere(delta: Tensor, eps: float, generator: torch.Generator | None) -> Tensor:
    """Draw uniformly from the ℓ2 ball: a direction from the sphere, a radius from u^(1/d)."""
    delta.normal_(generator=generator)
    u = torch.empty_like(delta[:, :1, :1, :1]).uniform_(generator=generator)
    return normalise(delta).mul_(u.pow_(1 / delta[0].numel()).mul_(eps))


def l2_norms(delta: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return the ℓ2 norms of (N, …) as (N, 1, …)."""
    dim = tuple(range(1, delta.dim()))
    norms: Tensor = torch.linalg.vector_norm(delta, dim=dim, keepdim=True, dtype=dtype)
    return norms


def normalise(gradient: Tensor) -> Tensor:
    """Bring each gradient (N, …) to ℓ2 length 1, in place; one of length 0 stays."""
    length = l2_norms(gradient)
    if not ((length > _SQUARABLE) & (length < 1 / _SQUARABLE)).all():
        length = l2_norms(gradient, torch.float64).to(length)
    return gradient.div_(length.clamp_(min=_TINY))


def shorten(delta: Tensor, eps: Tensor | float) -> Tensor:
    """Bring each δ (N, …) that is longer than ε to that ℓ2 length, in place."""
    return delta.mul_((eps / l2_norms(delta).clamp_(min=_TINY)).clamp_(max=1))


def _project_onto_sphere(images: Tensor, eps: float) -> Projection:
    return lambda x: shorten(x.sub_(images), eps).add_(images).clamp_(0, 1)


LINF = Ball(start=_draw_in_box, direction=Tensor.sign_, projection=_project_onto_box)
L2 = Ball(start=_draw_in_sphere, direction=normalise, projection=_project_onto_sphere)
