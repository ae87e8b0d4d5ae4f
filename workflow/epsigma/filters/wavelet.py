"""Wavelet shrinkage."""

import math
from functools import lru_cache

import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from torch import Tensor

from epsigma.filters.filter import Filter

METHODS = ("bayes", "visu")


@lru_cache(maxsize=256)
def wavelet_operators(side: int, wavelet: str) -> tuple[Tensor, Tensor]:
    """Write one level of the transform along an axis as matrices, of what PyWavelets does.

    Returns:
        (2, M, side) float64: the analysis, to approximation and detail coefficients; and
        (2, side, M), the synthesis of each.
    """
    analysis = np.stack(pywt.dwt(np.eye(side), wavelet, axis=0))
    one = np.eye(analysis.shape[1])
    parts = [pywt.idwt(one, None, wavelet, axis=0), pywt.idwt(None, one, wavelet, axis=0)]
    synthesis = np.stack(parts)[:, :side]
    return torch.from_numpy(analysis), torch.from_numpy(synthesis)


class Wavelet(Filter):
    """Shrink the detail coefficients of a wavelet transform towards 0, by soft thresholds.

    BayesShrink's threshold of a band is σ²/√(m − σ²), m the mean of its squares; all of it goes
    where m ≤ σ². VisuShrink's is σ√(2 ln n), n the image's pixels. Each channel alone; values are
    clipped to [0, 1]. The transform has three levels fewer than the image allows, but one at least.

    Args:
        noise: σ, standard deviation of the noise, in units of the pixel range; positive.
        method: `bayes` or `visu`.
        wavelet: one of PyWavelets' orthogonal ones.

    Source: Chang, Yu & Vetterli 2000 (BayesShrink); Donoho & Johnstone 1994 (VisuShrink); in front
    of classifiers Prakash et al. 2018 (arXiv:1801.08926), section 4.2. The transform is
    PyWavelets', with its symmetric border.
    """

    is_linear = False

    def __init__(self, *, noise: float, method: str = "bayes", wavelet: str = "db1") -> None:
        super().__init__()
        if noise <= 0:
            raise ValueError(f"noise = {noise} is not positive")
        if method not in METHODS:
            raise ValueError(f"method = {method!r} is none of {', '.join(METHODS)}")
        self.noise = float(noise)
        self.method = method
        self.wavelet = wavelet

    def forward(self, images: Tensor) -> Tensor:
        """Shrink images (N, C, H, W); in float64."""
        given, bands = images.double(), []
        for _ in range(self._count_levels(images)):
            (down, up), (across, back) = (
                wavelet_operators(side, self.wavelet) for side in given.shape[-2:]
            )
            down, up, across, back = (one.to(given) for one in (down, up, across, back))
            # (2, 2, N, C, h, w): approximation or detail, down and across.
            every = down[:, None, None, None] @ given @ across.mT[:, None, None]
            bands.append((every, up[:, None, None, None], back.mT[:, None, None]))
            given = every[0, 0]
        pixels = images.shape[-2] * images.shape[-1]
        for every, up, back in reversed(bands):
            shrunk = self._shrink(every, pixels)
            height, width = every.shape[-2:]
            # The first has a row or column too many where a side was odd.
            first = given[..., :height, :width]
            rest = (up @ shrunk @ back).sum((0, 1))
            given = up[0, 0] @ (first - shrunk[0, 0]) @ back[0] + rest
        return given.clamp(0, 1).to(images.dtype)

    def _count_levels(self, images: Tensor) -> int:
        levels: int = max(pywt.dwt_max_level(min(images.shape[-2:]), self.wavelet) - 3, 1)
        return levels

    def _shrink(self, bands: Tensor, pixels: int) -> Tensor:
        """Shrink bands (…, h, w) of an image of so many pixels, each by its threshold."""
        if self.method == "visu":
            threshold = bands.new_tensor(self.noise * math.sqrt(2 * math.log(pixels)))
        else:
            signal = bands.square().mean((-2, -1), keepdim=True) - self.noise**2
            is_there = signal > 0
            root = torch.where(is_there, signal, 1).sqrt()
            threshold = torch.where(is_there, self.noise**2 / root, torch.inf)
        kept = (bands.abs() - threshold).clamp(min=0)
        return bands.sign() * kept

    def formula(self, images: Tensor) -> Tensor:
        """Let PyWavelets transform and shrink each channel of each image."""
        found = np.empty(images.shape)
        height, width = images.shape[-2:]
        for at in np.ndindex(*images.shape[:2]):
            plane = images[at].double().numpy()
            bands = []
            for _ in range(self._count_levels(images)):
                plane, details = pywt.dwt2(plane, self.wavelet)
                bands.append([self._shrink_band(band, height * width) for band in details])
            for details in reversed(bands):
                rows, columns = details[0].shape
                plane = pywt.idwt2((plane[:rows, :columns], details), self.wavelet)
            found[at] = plane[:height, :width]
        return torch.from_numpy(found).to(images).clamp(0, 1)

    def _shrink_band(self, band: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
        threshold = self.noise * math.sqrt(2 * math.log(pixels))
        if self.method == "bayes":
            beyond = (band**2).mean() - self.noise**2
            if beyond <= 0:
                return np.zeros_like(band)
            threshold = self.noise**2 / math.sqrt(beyond)
        shrunk: NDArray[np.float64] = pywt.threshold(band, threshold, "soft")
        return shrunk
