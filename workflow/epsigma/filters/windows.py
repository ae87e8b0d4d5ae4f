"""Square windows around each pixel, and their weighted sums along an axis."""

import torch
from torch import Tensor
from torch.nn import functional


def reach(radius: int, side: int) -> int:
    """Pixels on each side of a window's centre: the radius, and at most `side` − 1.

    The cap is where a reflected border ends.
    """
    return min(radius, side - 1)


def pad(images: Tensor, radius: int, border: str) -> Tensor:
    """Go on with images (N, C, H, W) beyond their border as far as windows reach."""
    down, across = (reach(radius, side) for side in images.shape[-2:])
    return functional.pad(images, [across, across, down, down], mode=border)


def shifted(images: Tensor, radius: int, border: str) -> list[tuple[int, int, Tensor]]:
    """List, for each place of a window, how far down and across it is, and what it sees."""
    height, width = images.shape[-2:]
    down, across = reach(radius, height), reach(radius, width)
    padded = pad(images, radius, border)
    return [
        (y - down, x - across, padded[..., y : y + height, x : x + width])
        for y in range(2 * down + 1)
        for x in range(2 * across + 1)
    ]


def uniform(generator: torch.Generator | None, *shape: int) -> Tensor:
    """Draw float32 from [0, 1), where the generator lies (None: torch's global one)."""
    device = "cpu" if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=device)
