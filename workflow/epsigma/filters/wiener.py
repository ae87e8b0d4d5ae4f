"""The adaptive Wiener filter."""

import torch
from torch import Tensor

from epsigma.filters.box import box_operator
from epsigma.filters.filter import Filter
from epsigma.filters.windows import shifted


class Wiener(Filter):
    """Draw each value towards the mean of its window, the more the less the window varies.

    With the window's mean μ and variance s², and the noise's variance ν², the mean of s² over the
    image: x ← μ + max(0, 1 − ν²/s²) · (x − μ); μ where s² is 0. Each channel alone.

    Args:
        radius: pixels on each side of the window's centre; 0 does nothing. A window that outgrows
            the image is cut.
        border: as of `Gaussian`; SciPy's `wiener` has `constant`, whose zeros vary at the border of
            images that do not.

    Source: Lim 1990, Two-Dimensional Signal and Image Processing, equations 9.44 to 9.46, which
    `scipy.signal.wiener` is.
    """

    is_linear = False

    def __init__(self, *, radius: int, border: str = "reflect") -> None:
        super().__init__()
        if radius < 0:
            raise ValueError(f"radius = {radius} is less than 0")
        self.radius = radius
        self.border = border

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W); in float64, for a variance is a difference of squares."""
        given = images.double()
        down, across = (
            box_operator(side, self.radius, self.border).to(given) for side in given.shape[-2:]
        )
        mean = down @ given @ across.T
        variance = (down @ given.square() @ across.T - mean.square()).clamp(min=0)
        noise = variance.mean((2, 3), keepdim=True)
        kept = torch.where(variance > noise, 1 - noise / variance.clamp(min=1e-12), 0)
        if self.radius == 0:
            return images
        return (mean + kept * (given - mean)).to(images.dtype)

    def formula(self, images: Tensor) -> Tensor:
        """Take mean and variance of each window by their definitions."""
        if self.radius == 0:
            return images
        windows = torch.stack([seen for _, _, seen in shifted(images, self.radius, self.border)])
        mean, variance = windows.mean(0), windows.var(0, correction=0)
        noise = variance.mean((2, 3), keepdim=True)
        gain = ((variance - noise) / variance.clamp(min=1e-12)).clamp(min=0)
        return mean + gain * (images - mean)
