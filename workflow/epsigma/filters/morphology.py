"""Morphological opening and closing."""

import torch
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter


class Opening(Filter):
    """Take the minimum, then the maximum of the square window around each pixel.

    What is brighter than its surroundings and smaller than the window goes. Beyond the border
    there is nothing: the window is cut there. Each channel alone.

    Both are one of the window's values. Many tie, as on a black background: an aware attacker lets
    the gradient flow to all that tie, along each axis in equal parts (BPDA).

    Args:
        radius: pixels on each side of the window's centre; 0 does nothing.

    Source: Gonzalez & Woods, Digital Image Processing, section 9.6 (grey-scale, flat).
    """

    is_linear = False
    signs = (-1, 1)

    def __init__(self, *, radius: int) -> None:
        super().__init__()
        if radius < 0:
            raise ValueError(f"radius = {radius} is less than 0")
        self.radius = radius

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        side = 2 * self.radius + 1
        for sign in self.signs:
            images = sign * functional.max_pool2d(sign * images, side, 1, self.radius)
        return images

    def formula(self, images: Tensor) -> Tensor:
        """Look at each window, cut at the border."""
        height, width = images.shape[-2:]
        for sign in self.signs:
            take = torch.amin if sign < 0 else torch.amax
            found = torch.empty_like(images)
            for y in range(height):
                for x in range(width):
                    rows = slice(max(0, y - self.radius), y + self.radius + 1)
                    columns = slice(max(0, x - self.radius), x + self.radius + 1)
                    found[..., y, x] = take(images[..., rows, columns], (-2, -1))
            images = found
        return images

    def surrogate(self, images: Tensor) -> Tensor:
        """Take the same maxima, whose gradient all that tie share."""
        for sign in self.signs:
            images = sign * images
            for axis in (2, 3):
                pads = [0, 0, self.radius, self.radius] if axis == 2 else [self.radius] * 2
                padded = functional.pad(images, pads, value=-torch.inf)
                images = padded.unfold(axis, 2 * self.radius + 1, 1).amax(-1)
            images = sign * images
        return images


class Closing(Opening):
    """Take the maximum, then the minimum: what is darker than its surroundings and small goes."""

    signs = (1, -1)
