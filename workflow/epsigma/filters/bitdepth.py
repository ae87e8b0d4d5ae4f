"""Reduction of the bit depth."""

import torch
from torch import Tensor

from epsigma.filters.filter import Filter


class BitDepth(Filter):
    """Round values to the nearest of 2^bits levels, evenly spaced over [0, 1]; `bits` at least 1.

    Its gradient is zero almost everywhere, so an aware attacker takes the identity's (BPDA).

    Source: Xu, Evans & Qi 2018 (arXiv:1704.01155), section III.A.
    """

    is_linear = False

    def __init__(self, *, bits: int) -> None:
        super().__init__()
        if bits < 1:
            raise ValueError(f"bits = {bits} is less than 1")
        self.steps: int = 2**bits - 1

    def forward(self, images: Tensor) -> Tensor:
        """Round images (N, C, H, W); ties go to the even level, what is outside to 0 or 1."""
        rounded: Tensor = (images * self.steps).round_().clamp_(0, self.steps).div_(self.steps)
        return rounded

    def formula(self, images: Tensor) -> Tensor:
        """Take the nearest level, by looking at all of them."""
        levels = torch.arange(self.steps + 1, dtype=images.dtype) / self.steps
        upper = torch.bucketize(images, (levels[1:] + levels[:-1]) / 2)
        nearest: Tensor = levels[upper]
        return nearest
