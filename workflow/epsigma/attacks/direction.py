"""Attacks that take one step, whose direction is the same for every budget."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.craft import Part, take_images
from epsigma.attacks.rows import Rows
from epsigma.loading import load
from epsigma.storage.batches import Images, each_batch
from epsigma.storage.images import ImageSet, measure


def step_along(direction: Tensor, images: Tensor, size: float) -> Tensor:
    """Step from images (N, C, H, W): clip(x + size·direction). The direction is overwritten."""
    return direction.mul_(size).add_(images).clamp_(0, 1)


def find_directions(
    settings: dict[str, Any],
    model: nn.Module,
    clean: Images,
    rows: Rows,
    *,
    say: Callable[[str], None] = lambda sentence: None,
) -> Iterator[ImageSet]:
    """Find the direction of an attack on the rows (M) of images (N, C, H, W), batch by batch.

    Args:
        settings: how to make it: `implementation` and `parameters`.
        model: what is attacked; it must not draw.
        clean: the images.
        rows: without targets.
        say: is told of a batch that was halved.

    Yields:
        The rows in their order: in place of images the directions, int8.

    Raises:
        ValueError: if a direction has another value than −1, 0 and 1.
    """
    find = partial(load(settings["implementation"]), **settings["parameters"])

    def make(at: slice) -> ImageSet:
        part = rows[at]
        given = part.of(clean).clone()
        found = take_images(find(model, given, part.labels), given.shape)
        kept = torch.empty_like(found, dtype=torch.int8, memory_format=torch.contiguous_format)
        kept.copy_(found)
        if not torch.equal(kept.to(found.dtype), found):
            raise ValueError("a direction is -1, 0 or 1 in each value: return its sign")
        return ImageSet(kept, part.labels)

    return each_batch(len(rows.index), make, say=say)


def step_parts(directions: Images, clean: Images, rows: Rows, size: float) -> Iterator[Part]:
    """Step from the rows (M) of images (N, C, H, W) along their directions (M, C, H, W).

    Yields:
        What `make_parts` yields of the attack.
    """

    def make(at: slice) -> Part:
        part = rows[at]
        given = part.of(clean)
        made = step_along(directions[at], given, size)
        return Part(part, made, measure(made, given))

    return each_batch(len(rows.index), make)
