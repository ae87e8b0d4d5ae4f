"""The Gaussian smoothing kernel."""

import math
from functools import lru_cache

import cv2
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter
from epsigma.filters.planes import in_pieces

BORDERS = ("reflect", "replicate", "constant", "circular")

# The borders that OpenCV has for a separable filter, and from where on it is the faster way: at
# sides of so many pixels, and of so many times the kernel's taps.
_OPENCV = {
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
}
_SIDE, _SIDE_PER_TAP = 96, 8
# Planes that a thread takes at a time.
_PLANES = 16


def kernel_radius(sigma: float, truncate: float, side: float) -> int:
    """Pixels on each side of the kernel's centre: ⌈truncate · σ⌉, and at most `side` − 1.

    The cap is where a reflected border ends; a kernel that outgrows the image is cut there, and
    its weights still sum to one.
    """
    return int(min(math.ceil(truncate * sigma), side - 1))


@lru_cache(maxsize=256)
def gaussian_operator(side: int, sigma: float, truncate: float, border: str) -> Tensor:
    """Write the blur along one axis as a matrix M: a column x of `side` pixels becomes M x.

    The blur is linear and separable, so M is what Kornia makes of the identity when it blurs its
    columns alone, and an image X becomes M X Mᵀ: on a CPU two small products, 20 times as fast as
    the convolution. OpenCV's passes along rows and columns do better where images are large.

    Returns:
        (side, side) float32 on the CPU. Rows sum to one, but for the border `constant`.
    """
    size = 2 * kernel_radius(sigma, truncate, side) + 1
    identity = torch.eye(side)[None, None]
    return gaussian_blur2d(identity, (size, 1), (sigma, 1.0), border)[0, 0]


class Gaussian(Filter):
    """Smooth images with a Gaussian kernel of standard deviation `sigma`, each channel alone.

    Args:
        sigma: standard deviation, in pixels; positive.
        truncate: radius of the kernel in standard deviations, see `kernel_radius`.
        border: `reflect` (the border pixel is not repeated: SciPy's `mirror`), `replicate`,
            `constant` (zeros) or `circular`.

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
        if self._is_for_opencv(images):
            return self._by_opencv(images)
        down, across = (
            gaussian_operator(side, self.sigma, self.truncate, self.border).to(images)
            for side in (height, width)
        )
        return down @ images @ across.T

    def _is_for_opencv(self, images: Tensor) -> bool:
        """Whether the images are large, the kernel is short, and nobody asks for a gradient."""
        side = min(images.shape[-2:])
        taps = 2 * kernel_radius(self.sigma, self.truncate, side) + 1
        exact = images.requires_grad and torch.is_grad_enabled()
        return (
            not exact
            and images.dtype == torch.float32
            and self.border in _OPENCV
            and side >= max(_SIDE, _SIDE_PER_TAP * taps)
        )

    def _by_opencv(self, images: Tensor) -> Tensor:
        """Smooth images (N, C, H, W), float32, a plane at a time: each stays in the cache."""
        weights = self._weights(math.inf).float().numpy()
        filtered = torch.empty_like(images, memory_format=torch.contiguous_format)
        planes, found = images.detach().flatten(0, 1).numpy(), filtered.flatten(0, 1).numpy()
        border = _OPENCV[self.border]

        def smooth(piece: slice) -> None:
            for plane, into in zip(planes[piece], found[piece], strict=True):
                cv2.sepFilter2D(plane, -1, weights, weights, into, borderType=border)

        in_pieces(smooth, len(planes), _PLANES)
        return filtered

    def formula(self, images: Tensor) -> Tensor:
        """Go on with the image beyond its border, and add up its weighted neighbours."""
        for axis in (2, 3):
            side = images.shape[axis]
            weights = self._weights(side).to(images)
            radius = len(weights) // 2
            pads = [0, 0, radius, radius] if axis == 2 else [radius, radius, 0, 0]
            padded = functional.pad(images, pads, mode=self.border)
            images = sum(
                weight * padded.narrow(axis, offset, side) for offset, weight in enumerate(weights)
            )
        return images

    def response(self, frequency: Tensor) -> Tensor:
        """Amplitude along an axis: Σₖ wₖ cos(2πfk) over the sampled, cut and normalised kernel.

        About exp(−2π²σ²f²), that of the continuous kernel, for σ from 0.5 or so. A kernel that the
        side of an image cuts shorter is left out of account.
        """
        weights = self._weights(math.inf)
        radius = len(weights) // 2
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
        angles = 2 * math.pi * frequency.double().unsqueeze(-1) * offsets
        return torch.cos(angles) @ weights

    def _weights(self, side: float) -> Tensor:
        """The kernel by its formula: exp(−k²/2σ²), |k| ≤ radius, over its sum; float64."""
        radius = kernel_radius(self.sigma, self.truncate, side)
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
        weights = torch.exp(-(offsets**2) / (2 * self.sigma**2))
        return weights / weights.sum()
