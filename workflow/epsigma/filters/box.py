"""The mean over a square window."""

from functools import lru_cache

import torch
from kornia.filters import box_blur
from torch import Tensor

from epsigma.filters.filter import Filter
from epsigma.filters.windows import reach, shifted


@lru_cache(maxsize=256)
def box_operator(side: int, radius: int, border: str) -> Tensor:
    """Write the mean along one axis as a matrix (side, side), float64, as `gaussian_operator`."""
    identity = torch.eye(side, dtype=torch.float64)[None, None]
    return box_blur(identity, (2 * reach(radius, side) + 1, 1), border)[0, 0]


class Box(Filter):
    """Replace each value by the mean of the window around it, each channel alone.

    Args:
        radius: pixels on each side of the window's centre; 0 does nothing. A window that outgrows
            the image is cut to 2n − 1 of n pixels.
        border: as of `Gaussian`.

    Source: Li & Li 2017 (arXiv:1612.07767), section 5; the kernel is Kornia's.
    """

    def __init__(self, *, radius: int, border: str = "reflect") -> None:
        super().__init__()
        if radius < 0:
            raise ValueError(f"radius = {radius} is less than 0")
        self.radius = radius
        self.border = border

    def forward(self, images: Tensor) -> Tensor:
        """Smooth images (N, C, H, W)."""
        down, across = (
            box_operator(side, self.radius, self.border).to(images) for side in images.shape[-2:]
        )
        return down @ images @ across.T

    def formula(self, images: Tensor) -> Tensor:
        """Add up the window's values and divide by their number."""
        every = [seen for _, _, seen in shifted(images, self.radius, self.border)]
        return torch.stack(every).mean(0)

    def response(self, frequency: Tensor) -> Tensor:
        """Amplitude along an axis: (1 + 2 Σₖ cos(2πfk)) / (2 · radius + 1), k from 1 to radius."""
        offsets = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        return torch.cos(2 * torch.pi * frequency.double().unsqueeze(-1) * offsets).mean(-1)
