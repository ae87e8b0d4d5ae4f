"""Pixel deflection."""

import torch
from torch import Tensor

from epsigma.filters.filter import Filter
from epsigma.filters.windows import uniform


class PixelDeflection(Filter):
    """Put, in the place of some random pixels, others of the window around each, drawn anew.

    All channels of a pixel go together. Unlike the authors', pixels are drawn everywhere alike,
    without a class activation map; no pixel is drawn twice; and what is put there is the image's,
    not what was put there before. The wavelets that clean up after it come `then`.

    An aware attacker takes the expectation over draws (EOT), by the exact gradient of each.

    Args:
        share: of the pixels that are deflected, in [0, 1].
        radius: pixels on each side of the window's centre, cut at the image's border.
        generator: torch's global one if None.

    Source: Prakash, Moran, Garber, DiLillo & Storer 2018 (arXiv:1801.08926), section 4.1.
    """

    is_linear = False
    is_replayed = True

    def __init__(
        self, *, share: float, radius: int = 5, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share = {share} is not within 0 and 1")
        self.share = share
        self.radius = radius
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Deflect pixels of images (N, C, H, W)."""
        height, width = images.shape[-2:]
        lots, moves = self._draw(images)
        pixel = torch.arange(height * width, device=lots.device)
        is_moved = lots.argsort(1).argsort(1) < round(self.share * height * width)
        down = _within(pixel // width, moves[:, 0], self.radius, height)
        across = _within(pixel % width, moves[:, 1], self.radius, width)
        source = torch.where(is_moved, down * width + across, pixel).to(images.device)
        flat = images.flatten(2)
        return flat.gather(2, source[:, None].expand_as(flat)).view_as(images)

    def formula(self, images: Tensor) -> Tensor:
        """Go through the pixels in the order of their lots."""
        height, width = images.shape[-2:]
        every, moves = self._draw(images)
        deflected = images.clone()
        for image, made, lots, (down, across) in zip(images, deflected, every, moves, strict=True):
            for pixel in lots.sort().indices[: round(self.share * height * width)].tolist():
                y, x = divmod(pixel, width)
                ys = range(max(0, y - self.radius), min(height, y + self.radius + 1))
                xs = range(max(0, x - self.radius), min(width, x + self.radius + 1))
                y_from = ys[int(float(down[pixel]) * len(ys))]
                made[:, y, x] = image[:, y_from, xs[int(float(across[pixel]) * len(xs))]]
        return deflected

    def _draw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a lot a pixel (N, H·W), and how far each would go (N, 2, H·W), in [0, 1)."""
        n, pixels = len(images), images.shape[2] * images.shape[3]
        drawn = uniform(self.generator, n, 3, pixels)
        return drawn[:, 0], drawn[:, 1:].double()


def _within(place: Tensor, move: Tensor, radius: int, side: int) -> Tensor:
    """Find places (N, P) in the windows around others (P,), by draws in [0, 1)."""
    first, last = (place - radius).clamp(min=0), (place + radius).clamp(max=side - 1)
    return first + (move * (last - first + 1)).long()
