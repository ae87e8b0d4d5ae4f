"""Running an attack on a set of images, batch by batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.rows import Rows, attacked_rows, fooling_rows
from epsigma.detectors.rejection import ClassifierWithDetectors, attacked_logits
from epsigma.loading import load
from epsigma.storage.images import (
    BATCH,
    ImageSet,
    measure,
)

# Measures that need a clean image to compare with.
NORMS = tuple(name for name in ImageSet.MEASURES if name != "outside")


def rows_of(settings: dict[str, Any], labels: Tensor, classes: int) -> Rows:
    """Say what an attack attacks.

    Args:
        settings: of the attack; `fooling` (images a class) if it makes images of its own, else
            `examples` (how many of the first test images; all, if None) and `targets`, if it can
            aim.
        labels: (N,) int64, of the test images.
        classes: how many there are.

    Raises:
        ValueError: if there are fewer test images, or no such targets.
    """
    if "fooling" in settings:
        return fooling_rows(classes, settings["fooling"], labels.device)
    return attacked_rows(
        labels,
        classes,
        examples=settings.get("examples"),
        targets=settings.get("targets", "untargeted"),
    )


def make_set(
    settings: dict[str, Any],
    generator: torch.Generator,
    model: nn.Module,
    clean: Tensor,
    rows: Rows,
    **changed: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run an attack, batch by batch.

    Args:
        settings: of the attack.
        generator: what it draws from.
        model: what is attacked.
        clean: (N, C, H, W), the test images.
        rows: (M) what of them to attack, or what images to make.
        changed: hyper-parameters that are not those of the settings.

    Returns:
        (M, C, H, W), and what `measure` says of each row; of fooling images, which have no clean
        counterpart, only how far they leave the pixel range, and NaN else. Where detectors look on,
        the attack is run once more without a thought of them, and of a row that only this gets
        through the result is its: who knows more does no worse.
    """
    craft = build_attack(settings, generator)
    is_fooling = "fooling" in settings
    images = clean.new_empty(len(rows.index), *clean.shape[1:])
    measures = []
    for start in range(0, len(images), BATCH):
        part, out = rows[start : start + BATCH], images[start : start + BATCH]
        given = clean if is_fooling else part.of(clean)
        aim = {} if part.targets is None or is_fooling else {"targets": part.targets}
        out.copy_(craft(model, given, part.labels, **aim, **changed))
        if isinstance(model, ClassifierWithDetectors) and not is_fooling:
            quiet = {name: value for name, value in changed.items() if name != "on_step"}
            other = craft(model.through, given, part.labels, **aim, **quiet)
            better = is_fooled(model, other, part) & ~is_fooled(model, out, part)
            out[better] = other[better]
        measures.append(measure(out, out if is_fooling else given))
    joined = {name: torch.cat([part[name] for part in measures]) for name in ImageSet.MEASURES}
    if is_fooling:
        joined |= {name: torch.full_like(joined[name], torch.nan) for name in NORMS}
    return images, joined


@torch.no_grad()
def is_fooled(model: ClassifierWithDetectors, images: Tensor, rows: Rows) -> Tensor:
    """Mark the images (M, C, H, W) that are accepted, and taken for what they are to be: (M,)."""
    if rows.targets is not None:
        aimed: Tensor = model(images).argmax(1) == rows.targets
        return aimed
    return attacked_logits(model, images, rows.labels).argmax(1) != rows.labels


def build_attack(settings: dict[str, Any], generator: torch.Generator) -> Callable[..., Tensor]:
    """Make an attack of its `implementation` and `parameters`, for a model, images and labels.

    One that is `random` draws from the generator.
    """
    options = {"generator": generator} if settings.get("random") else {}
    return partial(load(settings["implementation"]), **settings["parameters"], **options)
