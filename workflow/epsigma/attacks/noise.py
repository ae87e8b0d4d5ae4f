"""Noise of the size of an attack: what any perturbation of that size does."""

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import L2
from epsigma.attacks.shares import count_features

Generator = torch.Generator | None


def sign_noise(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: Generator = None
) -> Tensor:
    """Add noise as large as FGSM's perturbation: clip(x + ε·s), s = ±1 with equal chances."""
    signs = torch.empty_like(images).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
    return signs.mul_(eps).add_(images).clamp_(0, 1)


def uniform_noise(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: Generator = None
) -> Tensor:
    """Add noise drawn uniformly from the ℓ∞ ball of radius ε: clip(x + u), u ~ U[−ε, ε]."""
    noise = torch.empty_like(images).uniform_(-eps, eps, generator=generator)
    return noise.add_(images).clamp_(0, 1)


def l2_noise(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, generator: Generator = None
) -> Tensor:
    """Add noise of ℓ2 norm ε in a random direction: clip(x + ε·z/‖z‖₂), z ~ N(0, 1)."""
    z = torch.empty_like(images).normal_(generator=generator)
    return L2.direction(z).mul_(eps).add_(images).clamp_(0, 1)


def feature_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    gamma: float,
    theta: float = 1.0,
    generator: Generator = None,
) -> Tensor:
    """Add θ, clipped, to ⌊C·H·W·Υ⌋ features chosen at random: as many as JSMA may change.

    Raises:
        ShareError: if Υ is not 0 and allows no feature.
    """
    flat = images.flatten(1)
    chosen = torch.rand(flat.shape, device=flat.device, generator=generator).argsort(1)
    chosen = chosen[:, : count_features(gamma, flat.shape[1], at_once=1)]
    changed = flat.scatter(1, chosen, flat.gather(1, chosen) + theta)
    return changed.view_as(images).clamp_(0, 1)


def fooling_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    confidence: float,
    generator: Generator = None,
) -> Tensor:
    """Draw a uniform image (M, C, H, W) for each label, whatever the confidence: the control."""
    shape = (len(labels), *images.shape[1:])
    return torch.rand(shape, dtype=images.dtype, device=images.device, generator=generator)
