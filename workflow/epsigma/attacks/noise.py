"""Noise of the size of an attack: what any perturbation of that size does."""

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import L2


def sign_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add ε times a random sign to every value: clip(x + ε·s), s = ±1 with equal chances.

    It is as large as FGSM's perturbation, and independent of the model.

    Args:
        model: not used.
        images: (N, C, H, W) float in [0, 1]; not modified.
        labels: not used.
        eps: radius of the ℓ∞ ball.
        generator: draws the signs; torch's global one if None.

    Returns:
        (N, C, H, W), in [0, 1] and within `eps` of `images`.
    """
    signs = torch.empty_like(images).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
    return signs.mul_(eps).add_(images).clamp_(0, 1)


def uniform_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add noise drawn uniformly from the ℓ∞ ball: clip(x + u), u ~ U[−ε, ε].

    Arguments and result as in `sign_noise`.
    """
    noise = torch.empty_like(images).uniform_(-eps, eps, generator=generator)
    return noise.add_(images).clamp_(0, 1)


def l2_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add noise of ℓ2 norm ε in a random direction: clip(x + ε·z/‖z‖₂), z ~ N(0, 1).

    Arguments and result as in `sign_noise`, but for the ball, which is of the ℓ2 norm.
    """
    z = torch.empty_like(images).normal_(generator=generator)
    return L2.direction(z).mul_(eps).add_(images).clamp_(0, 1)


def feature_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    gamma: float,
    theta: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add θ to features that are chosen at random: as many as JSMA may change.

    Args:
        model: not used.
        images: (N, C, H, W) float in [0, 1]; not modified.
        labels: not used.
        gamma: Υ, in [0, 1]: ⌊C·H·W·Υ⌋ features of each image are chosen.
        theta: what is added to them; the result is clipped.
        generator: chooses the features; torch's global one if None.

    Returns:
        (N, C, H, W), in [0, 1].
    """
    flat = images.flatten(1)
    chosen = torch.rand(flat.shape, device=flat.device, generator=generator).argsort(1)
    chosen = chosen[:, : int(flat.shape[1] * gamma + 1e-9)]
    changed = flat.scatter(1, chosen, flat.gather(1, chosen) + theta)
    return changed.view_as(images).clamp_(0, 1)


def fooling_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    confidence: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw uniform noise, which the others start from: the control.

    Args:
        model: not used.
        images: (N, C, H, W) in [0, 1]; only their shape counts.
        labels: (M,) int64, the classes that the images are to be taken for.
        confidence: not used here; the images are judged by it.
        generator: draws the noise; torch's global one if None.

    Returns:
        (M, C, H, W), in [0, 1].
    """
    shape = (len(labels), *images.shape[1:])
    return torch.rand(shape, dtype=images.dtype, device=images.device, generator=generator)
