"""Images of the explorer: those of a set in one PNG, side by side, within a budget."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from epsigma.storage.images import to_float

# Characters that all images of a page may take.
BUDGET = 4_000_000
# Larger sides are made smaller, to at most so many pixels.
SIDE = 64


def read_rows(path: str | Path, rows: Sequence[int | None]) -> Tensor:
    """Read some images of a set: (R, C, H, W) float32 in [0, 1], black where there is no row."""
    with safe_open(path, framework="pt") as file:
        images = file.get_slice("images")
        shape = images.get_shape()[1:]
        picked = [
            torch.zeros(shape) if row is None else to_float(images[row : row + 1])[0]
            for row in rows
        ]
    return torch.stack(picked)


def make_sprite(images: Tensor) -> str:
    """Put images (R, C, H, W) side by side: a PNG as a data URI.

    Values are clipped to [0, 1] and have 8 bits. Other than three channels are shown in grey.
    """
    shown = images.clamp(0, 1)
    scale = SIDE / max(shown.shape[2:])
    if scale < 1:
        size = [max(round(side * scale), 1) for side in shown.shape[2:]]
        shown = functional.interpolate(shown, size=size, mode="area")
    if shown.shape[1] != 3:
        shown = shown.mean(1, keepdim=True)
    # (R, C, H, W) to (H, R·W, C).
    strip = shown.permute(2, 0, 3, 1).flatten(1, 2)
    pixels = strip.mul(255).round().to(torch.uint8).squeeze(2).numpy()
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "png")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()


class Sprites:
    """Sprites by number, as long as the budget lasts."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.made: list[str] = []
        self.left_out = 0
        self._left = budget

    def add(self, images: Tensor) -> int | None:
        """Add a sprite and return its number; None, and it is left out, if it costs too much."""
        sprite = make_sprite(images)
        if len(sprite) > self._left:
            self.left_out += 1
            return None
        self._left -= len(sprite)
        self.made.append(sprite)
        return len(self.made) - 1
