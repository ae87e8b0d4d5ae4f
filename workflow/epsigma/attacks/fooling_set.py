"""Sets of fooling images: so many for each class, of no test image."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.craft import Part, build_attack, take_images
from epsigma.attacks.rows import Rows
from epsigma.attacks.stored import round_made
from epsigma.storage.batches import each_batch
from epsigma.storage.images import ImageSet, measure

# Measures that need a clean image to compare with.
NORMS = tuple(name for name in ImageSet.MEASURES if name != "outside")


def fooling_rows(classes: int, images: int, device: torch.device) -> Rows:
    """List so many rows a class, class by class; the label of each is the class that it aims at."""
    targets = torch.arange(classes, device=device).repeat_interleave(images)
    return Rows(torch.arange(len(targets), device=device), targets, targets.clone())


def make_fooling_set(
    settings: dict[str, Any],
    generator: torch.Generator,
    model: nn.Module,
    clean: Tensor,
    rows: Rows,
    **changed: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Make fooling images as `make_fooling_parts` does, and put the parts together."""
    parts = list(make_fooling_parts(settings, generator, model, clean, rows, **changed))
    measures = {
        name: torch.cat([part.measures[name] for part in parts]) for name in ImageSet.MEASURES
    }
    return torch.cat([part.images for part in parts]), measures


def make_fooling_parts(
    settings: dict[str, Any],
    generator: torch.Generator,
    model: nn.Module,
    clean: Tensor,
    rows: Rows,
    *,
    say: Callable[[str], None] = lambda sentence: None,
    on_batch: Callable[[], None] = lambda: None,
    **changed: Any,
) -> Iterator[Part]:
    """Make fooling images, batch by batch, and the measures of an adversarial set.

    `outside` is how far an image leaves the pixel range; the others are NaN, for there is no clean
    counterpart. Arguments and parts as of `make_parts`; the rows say which classes are aimed at.
    """
    attack = build_attack(settings, generator)

    def make(at: slice) -> Part:
        on_batch()
        part = rows[at]
        shape = torch.Size([len(part.labels), *clean.shape[1:]])
        made = take_images(attack(model, clean, part.labels, **changed), shape)
        whole = clean.new_empty(shape).copy_(made)
        images = round_made(settings, whole, whole)
        outside = measure(images, images)["outside"]
        unknown = torch.full_like(outside, torch.nan)
        measures = {
            name: unknown.clone() if name in NORMS else outside for name in ImageSet.MEASURES
        }
        return Part(part, images, measures)

    return each_batch(len(rows.index), make, generator=generator, say=say)
