"""The median over a square window."""

import torch
from kornia.filters import median_blur
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter


class Median(Filter):
    """Replace each value by the median of the window around it.

    The median is one of the window's values, and its gradient flows to that one alone; where
    several tie, as on a black background, to whichever the sorting happens to choose. An aware
    attacker lets it flow to all that tie, in equal parts (BPDA).

    Args:
        size: side of the window in pixels; odd.
        border: how the image goes on beyond its border: `reflect` (the border pixel is not
            repeated), `replicate`, `constant` (zeros) or `circular`.

    Raises:
        ValueError: if `size` is even or less than 1.

    Source: Xu, Evans & Qi 2018 (arXiv:1704.01155), section III.B; the median is Kornia's.
    """

    is_linear = False

    def __init__(self, *, size: int, border: str = "reflect") -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size = {size} is not an odd number of pixels")
        self.size = size
        self.border = border

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        return median_blur(images, self.size, self.border)

    def formula(self, images: Tensor) -> Tensor:
        """Sort each window and take its middle."""
        windows = torch.stack(self._shifted(images), dim=-1)
        return windows.sort(-1).values[..., self.size**2 // 2]

    def surrogate(self, images: Tensor) -> Tensor:
        """Take the mean of the window's values that equal its median."""
        median = self(images.detach())
        total, ties = torch.zeros_like(median), torch.zeros_like(median)
        for shifted in self._shifted(images):
            tied = (shifted.detach() == median).to(images)
            total = total + tied * shifted
            ties += tied
        return total / ties

    def _shifted(self, images: Tensor) -> list[Tensor]:
        """The images as each place of the window sees them."""
        height, width = images.shape[-2:]
        padded = functional.pad(images, [self.size // 2] * 4, mode=self.border)
        return [
            padded[..., down : down + height, across : across + width]
            for down in range(self.size)
            for across in range(self.size)
        ]
