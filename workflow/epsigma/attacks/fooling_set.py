"""Sets of fooling images: so many for each class, of no test image."""

from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.craft import build_attack, take_images
from epsigma.attacks.rows import Rows
from epsigma.storage.images import ImageSet, batches, measure

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
    """Make fooling images (M, C, H, W), batch by batch, and the measures of an adversarial set.

    `outside` is how far an image leaves the pixel range; the others are NaN, for there is no clean
    counterpart. Arguments as of `make_set`; the rows say which classes are aimed at.
    """
    attack = build_attack(settings, generator)
    images = clean.new_empty(len(rows.index), *clean.shape[1:])
    for out, labels in batches(images, rows.labels):
        out.copy_(take_images(attack(model, clean, labels, **changed), out.shape))
    outside = measure(images, images)["outside"]
    unknown = torch.full_like(outside, torch.nan)
    return images, {
        name: unknown.clone() if name in NORMS else outside for name in ImageSet.MEASURES
    }
