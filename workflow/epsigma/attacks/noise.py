"""Noise of the size of an attack: what any perturbation of that size does."""

import torch
from torch import Tensor, nn


def sign_noise(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Add ε times a random sign to every value: clip(x + ε·s), s = ±1 with equal chances.

    It is as large as FGSM's perturbation, and knows nothing of the model.

    Args:
        model: not asked.
        images: (N, C, H, W) float in [0, 1]; not modified.
        labels: not looked at.
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
