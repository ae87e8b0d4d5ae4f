"""The Gaussian smoothing kernel."""

import math
from functools import lru_cache

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

BORDERS = ("reflect", "replicate", "constant", "circular")


def kernel_radius(sigma: float, truncate: float, side: int) -> int:
    """Pixels on each side of the kernel's centre: ⌈truncate · σ⌉, and at most `side` − 1.

    The cap is where a reflected border ends; a kernel that outgrows the image is cut there, and
    its weights still sum to one.
    """
    return min(math.ceil(truncate * sigma), side - 1)


@lru_cache(maxsize=256)
def gaussian_operator(side: int, sigma: float, truncate: float, border: str) -> Tensor:
    """Write the blur along one axis as a matrix M: a column x of `side` pixels becomes M x.

    The blur is linear and separable, so M is what Kornia makes of the identity when it blurs its
    columns alone, and an image X becomes M X Mᵀ: on a CPU two small products, 20 times as fast as
    the convolution.

    Returns:
        (side, side) float32 on the CPU. Rows sum to one, but for the border `constant`.
    """
    size = 2 * kernel_radius(sigma, truncate, side) + 1
    identity = torch.eye(side)[None, None]
    return gaussian_blur2d(identity, (size, 1), (sigma, 1.0), border)[0, 0]


class Gaussian(nn.Module):
    """Smooth images with a Gaussian kernel of standard deviation `sigma`, each channel alone.

    Args:
        sigma: standard deviation, in pixels; positive.
        truncate: radius of the kernel in standard deviations, see `kernel_radius`.
        border: `reflect` (the border pixel is not repeated: SciPy's `mirror`), `replicate`,
            `constant` (zeros) or `circular`.

    Raises:
        ValueError: if an argument is out of range.

    Source: the paper, section II.A; the kernel is Kornia's.
    """

    def __init__(self, *, sigma: float, truncate: float = 4.0, border: str = "reflect") -> None:
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"sigma = {sigma} is not positive; σ = 0 is the filter `none`")
        if truncate <= 0:
            raise ValueError(f"truncate = {truncate} is not positive")
        if border not in BORDERS:
            raise ValueError(f"border = {border!r} is none of {', '.join(BORDERS)}")
        self.sigma = float(sigma)
        self.truncate = float(truncate)
        self.border = border

    def forward(self, images: Tensor) -> Tensor:
        """Smooth images (N, C, H, W)."""
        height, width = images.shape[-2:]
        if images.is_cuda:
            rows, columns = (
                2 * kernel_radius(self.sigma, self.truncate, side) + 1 for side in (height, width)
            )
            sigmas = (self.sigma, self.sigma)
            return gaussian_blur2d(images, (rows, columns), sigmas, self.border)
        down, across = (
            gaussian_operator(side, self.sigma, self.truncate, self.border).to(images)
            for side in (height, width)
        )
        return down @ images @ across.T

    def response(self, frequency: Tensor) -> Tensor:
        """Amplitude at spatial frequencies in cycles per pixel: exp(−2π²σ²f²).

        That of the continuous, uncut kernel; the sampled one follows it for σ ≥ 0.5 or so.
        """
        return torch.exp(-2 * (math.pi * self.sigma * frequency) ** 2)
