"""JPEG with a random quality for each block."""

import numpy as np
import torch
from torch import Tensor

from epsigma.filters.filter import Filter
from epsigma.filters.jpeg import Jpeg
from epsigma.filters.windows import uniform

STEPS = (0, 20, 40, 60)
BLOCK = 8


class Shield(Filter):
    """Code images as JPEG at four qualities, and take each block of 8 × 8 from a random one.

    Where the authors retrain the classifier, here it stays. An aware attacker takes the
    expectation over draws (EOT), by the gradient of `Jpeg`'s surrogate (BPDA).

    Args:
        lowest: the lowest quality, from 1 to 40; the others are 20, 40 and 60 more.
        generator: torch's global one if None.

    Source: Das et al. 2018 (arXiv:1802.06816), section 3.2, whose qualities are 20, 40, 60 and 80.
    """

    is_linear = False
    is_replayed = True

    def __init__(self, *, lowest: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not 1 <= lowest <= 40:
            raise ValueError(f"lowest = {lowest} is not within 1 and 40")
        self.codecs = [Jpeg(quality=lowest + step) for step in STEPS]
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Code and decode images (N, C, H, W) in [0, 1], C = 1 or 3."""
        height, width = images.shape[-2:]
        drawn = self._draw(images).to(images.device)
        of_pixel = drawn.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
        chosen = of_pixel[None, :, None, :height, :width].expand(1, *images.shape)
        return torch.stack([codec(images) for codec in self.codecs]).gather(0, chosen)[0]

    def formula(self, images: Tensor) -> Tensor:
        """Take each block from what a codec's formula makes."""
        every = [codec.formula(images) for codec in self.codecs]
        made, drawn = torch.empty_like(images), self._draw(images)
        for image, row, column in np.ndindex(*drawn.shape):
            rows = slice(BLOCK * row, BLOCK * (row + 1))
            columns = slice(BLOCK * column, BLOCK * (column + 1))
            made[image, :, rows, columns] = every[drawn[image, row, column]][
                image, :, rows, columns
            ]
        return made

    def surrogate(self, images: Tensor) -> Tensor:
        """Take the mean of the codecs' surrogates, whichever would be drawn."""
        every = [codec.surrogate(images) for codec in self.codecs]
        return torch.stack(every).mean(0)

    def _draw(self, images: Tensor) -> Tensor:
        """Draw a codec for each block, (N, ⌈H / 8⌉, ⌈W / 8⌉)."""
        rows, columns = (-(-side // BLOCK) for side in images.shape[-2:])
        drawn = uniform(self.generator, len(images), rows, columns)
        return (drawn * len(self.codecs)).long()
