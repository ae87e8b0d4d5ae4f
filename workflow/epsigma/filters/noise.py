"""Noise in front of the classifier."""

import torch
from torch import Tensor

from epsigma.filters.filter import Filter


class GaussianNoise(Filter):
    """Add white Gaussian noise, drawn anew each time; values may leave [0, 1].

    An aware attacker takes the expectation over draws (EOT). `std` is positive, in units of the
    pixel range; the generator is torch's global one if None.

    Source: randomised smoothing's noise, once an image (Cohen, Rosenfeld & Kolter 2019,
    arXiv:1902.02918, average over many draws).
    """

    def __init__(self, *, std: float, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if std <= 0:
            raise ValueError(f"std = {std} is not positive")
        self.deviation = std
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Add noise to images (N, C, H, W)."""
        noise = torch.empty_like(images).normal_(0, self.deviation, generator=self.generator)
        return noise.add_(images)

    def formula(self, images: Tensor) -> Tensor:
        """Return the images: the noise has mean 0."""
        return images
