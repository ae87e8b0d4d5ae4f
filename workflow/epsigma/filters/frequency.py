"""Filters in the frequency domain: low-pass, high-pass and band-pass.

All are radial: the response depends on f = √(fx² + fy²), in cycles per pixel. The discrete Fourier
transform takes the image for one period of a periodic plane, so its borders wrap around.

A radial response is the same at (±fx, ±fy), so the products of real Fourier vectors (cosines and
sines along each axis) are its eigenvectors. On a CPU, small images are filtered in that basis with
four small matrix products, in a third of the time of `torch.fft`; larger ones, and all on a GPU,
go through `torch.fft.rfft2`.
"""

import math
from abc import abstractmethod
from functools import lru_cache

import torch
from torch import Tensor

from epsigma.filters.filter import Filter

# Sides up to which the matrix products are the faster way on a CPU.
MATRIX_SIDE = 96

SHAPES = ("ideal", "gaussian", "butterworth")
DC = ("drop", "keep")
POST = ("none", "clip", "rescale")

# A cutoff that is a frequency of the grid (0.25 for 28 pixels) is on it despite rounding.
_ROUNDING = 1e-9
# A filtered image whose values differ by less is one of one value: the rest is rounding.
_FLAT = 1e-5


def profile(u: Tensor, shape: str, order: int) -> Tensor:
    """Fall from 1 at u = 0, through the edge at u = 1, towards 0.

    ideal: 1 if u ≤ 1 else 0; gaussian: 2^(−u²); butterworth: 1 / (1 + u^(2·order)). The smooth
    ones are at half amplitude at the edge (Gonzalez & Woods, Digital Image Processing, chapter 4,
    with the Gaussian's width restated as its half-amplitude frequency).
    """
    if shape == "ideal":
        return (u <= 1 + _ROUNDING).to(u)
    if shape == "gaussian":
        return torch.exp2(-(u**2))
    return 1 / (1 + u ** (2 * order))


@lru_cache(maxsize=64)
def radial_frequency(height: int, width: int) -> Tensor:
    """The frequencies of `torch.fft.rfft2`: (height, width // 2 + 1) float64, cycles per pixel."""
    down = torch.fft.fftfreq(height, dtype=torch.float64)[:, None]
    across = torch.fft.rfftfreq(width, dtype=torch.float64)[None, :]
    return torch.hypot(down, across)


@lru_cache(maxsize=64)
def fourier_basis(side: int) -> tuple[Tensor, Tensor]:
    """Make the real orthonormal Fourier basis of `side` pixels.

    Returns:
        (side, side) float64, a basis vector a column: the constant, a cosine and a sine for each
        frequency below 0.5, the alternation of signs if `side` is even. And (side,) float64,
        their frequencies in cycles per pixel.
    """
    pixel = torch.arange(side)
    frequency = ((pixel + 1) // 2).double() / side
    angle = 2 * math.pi * pixel.double()[:, None] * frequency
    basis = torch.where(pixel % 2 == 0, torch.sin(angle), torch.cos(angle))
    basis[:, 0] = 1
    return basis / torch.linalg.vector_norm(basis, dim=0), frequency


class RadialFilter(Filter):
    """Multiply each channel's spectrum by a radial response.

    Args:
        cutoff: the edge (of a band-pass: the centre), in cycles per pixel; positive.
        shape: `ideal`, `gaussian` or `butterworth`, see `profile`.
        order: of the Butterworth response, at least 1.
        dc: `keep` passes the mean of each channel unchanged, `drop` removes it, whatever the
            response at f = 0.
        post: what becomes of values outside [0, 1]: `none`, `clip`, or `rescale` (each image's
            range is mapped to [0, 1]; an image of one value is clipped).
    """

    def __init__(
        self, *, cutoff: float, shape: str = "ideal", order: int = 2, dc: str, post: str = "none"
    ) -> None:
        super().__init__()
        if cutoff <= 0:
            raise ValueError(f"cutoff = {cutoff} is not positive")
        if order < 1:
            raise ValueError(f"order = {order} is less than 1")
        for name, value, allowed in (
            ("shape", shape, SHAPES),
            ("dc", dc, DC),
            ("post", post, POST),
        ):
            if value not in allowed:
                raise ValueError(f"{name} = {value!r} is none of {', '.join(allowed)}")
        self.cutoff = cutoff
        self.shape = shape
        self.order = order
        self.dc = dc
        self.post = post

        self.is_linear = post == "none"

    is_periodic = True

    @abstractmethod
    def passband(self, frequency: Tensor) -> Tensor:
        """Amplitude at frequencies in cycles per pixel, before `dc` has its say."""

    def response(self, frequency: Tensor) -> Tensor:
        """Amplitude at frequencies in cycles per pixel; in [0, 1]. `post` is not part of it."""
        mean = 1.0 if self.dc == "keep" else 0.0
        return torch.where(frequency == 0, mean, self.passband(frequency))

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        if images.is_cuda or max(images.shape[-2:]) > MATRIX_SIDE:
            filtered = self.by_transform(images)
        else:
            filtered = self.by_matrices(images)
        return self._finish(filtered)

    def formula(self, images: Tensor) -> Tensor:
        """Multiply the whole complex spectrum by the response at √(fx² + fy²)."""
        fy, fx = (torch.fft.fftfreq(side, dtype=images.dtype) for side in images.shape[-2:])
        response = self.response((fy[:, None] ** 2 + fx**2).sqrt())
        return self._finish(torch.fft.ifft2(torch.fft.fft2(images) * response).real)

    def _finish(self, filtered: Tensor) -> Tensor:
        """Do with the range what `post` says."""
        if self.post == "clip":
            return filtered.clamp(0, 1)
        if self.post == "rescale":
            low, high = torch.aminmax(filtered.flatten(1), dim=1)
            low, high = (bound[:, None, None, None] for bound in (low, high))
            flat = high - low < _FLAT
            stretched = (filtered - low) / torch.where(flat, 1.0, high - low)
            return torch.where(flat, filtered.clamp(0, 1), stretched)
        return filtered

    def by_transform(self, images: Tensor) -> Tensor:
        """Filter through the fast Fourier transform; `post` is left out."""
        height, width = images.shape[-2:]
        response = self.response(radial_frequency(height, width)).to(images)
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * response, s=(height, width))
        return filtered

    def by_matrices(self, images: Tensor) -> Tensor:
        """Filter in the real Fourier basis: B ((Bᵀ X B) ⊙ H) Bᵀ; `post` is left out.

        Basis vectors of which nothing passes are left out; where that saves more, what is stopped
        is computed, and taken away from the images.
        """
        height, width = images.shape[-2:]
        passes, plan = self._plan(height, width)
        down, across, response = (tensor.to(images) for tensor in plan)
        part: Tensor = down @ ((down.T @ (images @ across)) * response) @ across.T
        return part if passes else images - part

    def _plan(self, height: int, width: int) -> tuple[bool, tuple[Tensor, Tensor, Tensor]]:
        """Choose the vectors that are needed along each axis, for what passes or what does not.

        Returns which, and float64 matrices (height, r), (width, c) and, the response, (r, c).
        """
        (down, fy), (across, fx) = fourier_basis(height), fourier_basis(width)
        response = self.response(torch.hypot(fy[:, None], fx))
        options = []
        for passes, part in ((True, response), (False, 1 - response)):
            rows, columns = (part != 0).any(1), (part != 0).any(0)
            plan = down[:, rows], across[:, columns], part[rows][:, columns]
            options.append((plan[2].numel(), not passes, plan))
        _, stops, plan = min(options, key=lambda option: option[:2])
        return not stops, plan


class LowPass(RadialFilter):
    """Pass the frequencies up to `cutoff`. Arguments as in `RadialFilter`."""

    def passband(self, frequency: Tensor) -> Tensor:
        """Amplitude: profile(f / cutoff)."""
        return profile(frequency / self.cutoff, self.shape, self.order)


class HighPass(RadialFilter):
    """Pass the frequencies above `cutoff`: the low-pass's complement. See `RadialFilter`."""

    def passband(self, frequency: Tensor) -> Tensor:
        """Amplitude: 1 − profile(f / cutoff)."""
        return 1 - profile(frequency / self.cutoff, self.shape, self.order)


class BandPass(RadialFilter):
    """Pass the frequencies within `width` / 2 of `cutoff`, the band's centre. As `RadialFilter`."""

    def __init__(
        self,
        *,
        cutoff: float,
        width: float = 0.1,
        shape: str = "ideal",
        order: int = 2,
        dc: str,
        post: str = "none",
    ) -> None:
        super().__init__(cutoff=cutoff, shape=shape, order=order, dc=dc, post=post)
        if width <= 0:
            raise ValueError(f"width = {width} is not positive")
        self.width = width

    def passband(self, frequency: Tensor) -> Tensor:
        """Amplitude: profile(|f − cutoff| / (width / 2))."""
        distance = (frequency - self.cutoff).abs() / (self.width / 2)
        return profile(distance, self.shape, self.order)
