"""Non-local means."""

import cv2
import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter
from epsigma.filters.windows import shifted

# One thread a job, as of torch.
cv2.setNumThreads(1)
# OpenCV's: weights below this share of the largest are none, and sums have to fit an int.
THRESHOLD, LARGEST_SUM = 0.001, 2**31 - 1


class NonlocalMeans(Filter):
    """Average the pixels whose surroundings look like those of the pixel.

    A pixel whose patch differs by the mean square d from that of the pixel in the middle of the
    search window weighs exp(−d/h²). Images are rounded to 8 bits first, as OpenCV wants them. The
    channels of a colour image are one patch, where OpenCV's "Colored" goes through CIELAB.

    An aware attacker takes the gradient of the same mean in floating point (BPDA).

    Args:
        strength: h, in grey levels (of 255); positive.
        search: side of the search window in pixels; odd.
        patch: side of a patch in pixels; odd.

    Source: Buades, Coll & Morel 2005; as a squeezer, with OpenCV's code, search windows of 11 and
    13, patches of 3 and strengths of 2 and 4, Xu, Evans & Qi 2018 (arXiv:1704.01155), section
    III.B.
    """

    is_linear = False

    def __init__(self, *, strength: float, search: int = 11, patch: int = 3) -> None:
        super().__init__()
        if strength <= 0:
            raise ValueError(f"strength = {strength} is not positive")
        for name, side in (("search", search), ("patch", patch)):
            if side < 1 or side % 2 == 0:
                raise ValueError(f"{name} = {side} is no odd number of pixels")
        self.strength = float(strength)
        self.search = search
        self.patch = patch

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W) in [0, 1], C at most 4; values are multiples of 1/255."""
        filtered = [
            cv2.fastNlMeansDenoising(
                image,
                h=self.strength,
                templateWindowSize=self.patch,
                searchWindowSize=self.search,
            ).reshape(image.shape)
            for image in _to_bytes(images)
        ]
        stacked = torch.from_numpy(np.stack(filtered)).to(images.device)
        return stacked.movedim(-1, 1).to(images.dtype) / 255

    def formula(self, images: Tensor) -> Tensor:
        """Compare all patches, with weights in OpenCV's fixed point."""
        given = _to_bytes(images).astype(np.int64)
        height, width, channels = given.shape[1:]
        far, near = self.search // 2, self.patch // 2
        around = far + near
        padded = np.pad(given, [(0, 0), (around, around), (around, around), (0, 0)], "reflect")
        pixels = self.patch**2
        shift = (pixels - 1).bit_length()
        one = LARGEST_SUM // (self.search**2 * 255)
        total, weights = np.zeros_like(given), np.zeros_like(given[..., :1])
        middle = padded[:, far : far + height + 2 * near, far : far + width + 2 * near]
        for y in range(self.search):
            for x in range(self.search):
                other = padded[:, y : y + height + 2 * near, x : x + width + 2 * near]
                square = ((other - middle) ** 2).sum(-1)
                windows = sliding_window_view(square, (self.patch, self.patch), (1, 2))
                mean = (windows.sum((-2, -1)) >> shift) * (2**shift / pixels)
                weight = np.rint(one * np.exp(-mean / (self.strength**2 * channels)))
                weight = np.where(weight < THRESHOLD * one, 0, weight).astype(np.int64)[..., None]
                seen = other[:, near : near + height, near : near + width]
                total, weights = total + weight * seen, weights + weight
        mean = (total + weights // 2) // weights
        return torch.from_numpy(mean).movedim(-1, 1).to(images) / 255

    def surrogate(self, images: Tensor) -> Tensor:
        """Average in floating point, with weights that attackers cannot move."""
        far, fixed = self.search // 2, images.detach() * 255
        total, weights = torch.zeros_like(images), torch.zeros_like(images[:, :1])
        near = [
            functional.avg_pool2d(
                (seen - fixed).square().mean(1, keepdim=True),
                self.patch,
                1,
                self.patch // 2,
                count_include_pad=False,
            )
            for _, _, seen in shifted(fixed, far, "reflect")
        ]
        for unlike, (_, _, seen) in zip(near, shifted(images, far, "reflect"), strict=True):
            weight = torch.exp(-unlike / self.strength**2)
            total, weights = total + weight * seen, weights + weight
        return total / weights


def _to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """Round images (N, C, H, W) to 8 bits: (N, H, W, C)."""
    channels = images.shape[1]
    if channels > 4:
        raise ValueError(
            f"OpenCV compares patches of 1 to 4 channels, not of {channels}: leave it out"
        )
    levels = images.detach().mul(255).round().clamp(0, 255).byte()
    found: NDArray[np.uint8] = levels.movedim(1, -1).contiguous().cpu().numpy()
    return found
