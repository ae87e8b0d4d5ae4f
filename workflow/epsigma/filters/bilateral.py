"""The bilateral filter."""

import torch
from kornia.filters import bilateral_blur
from torch import Tensor

from epsigma.filters.filter import Filter
from epsigma.filters.windows import reach, shifted


class Bilateral(Filter):
    """Average the window around each pixel, by nearness in space and in value.

    A neighbour at distance d whose colour differs by c, the sum of the channels' absolute
    differences, weighs exp(−d²/2σₛ²) · exp(−c²/2σᵣ²). Edges stay, for beyond them c is large.

    Args:
        sigma_color: σᵣ, in units of the pixel range; positive.
        sigma_space: σₛ, in pixels; positive.
        radius: pixels on each side of the window's centre; a window that outgrows the image is
            cut. Unlike OpenCV's, which is round, the window is square.
        border: as of `Gaussian`.

    Source: Tomasi & Manduchi 1998, equations 5 and 6; the code is Kornia's.
    """

    is_linear = False

    def __init__(
        self,
        *,
        sigma_color: float,
        sigma_space: float = 1.5,
        radius: int = 2,
        border: str = "reflect",
    ) -> None:
        super().__init__()
        for name, value in (("sigma_color", sigma_color), ("sigma_space", sigma_space)):
            if value <= 0:
                raise ValueError(f"{name} = {value} is not positive")
        self.sigma_color = float(sigma_color)
        self.sigma_space = float(sigma_space)
        self.radius = radius
        self.border = border

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        rows, columns = (2 * reach(self.radius, side) + 1 for side in images.shape[-2:])
        space = (self.sigma_space, self.sigma_space)
        filtered: Tensor = bilateral_blur(
            images, (rows, columns), self.sigma_color, space, self.border, "l1"
        )
        return filtered

    def formula(self, images: Tensor) -> Tensor:
        """Add up the window's values by their weights, and divide by the weights' sum."""
        total, weights = torch.zeros_like(images), torch.zeros_like(images[:, :1])
        for down, across, seen in shifted(images, self.radius, self.border):
            far = (down**2 + across**2) / (2 * self.sigma_space**2)
            unlike = (seen - images).abs().sum(1, keepdim=True) / self.sigma_color
            weight = torch.exp(-far - unlike**2 / 2)
            total, weights = total + weight * seen, weights + weight
        return total / weights
