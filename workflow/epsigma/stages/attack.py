"""Stage attack: make adversarial sets."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.classifier import load_classifier
from epsigma.device import resolve
from epsigma.kinds import load
from epsigma.rows import Rows, attacked_rows, fooling_rows
from epsigma.shared import Shared
from epsigma.stages.detect import watched
from epsigma.stages.filter import apply, build, seeded
from epsigma.stages.job import Job
from epsigma.tensors import (
    BATCH,
    ImageSet,
    measure,
    read_classes,
    read_clean,
    write_image_set,
)
from epsigma.threats import Watched, ask, defended

# Measures that need a clean image to compare with.
NORMS = tuple(name for name in ImageSet.MEASURES if name != "outside")


def attack(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    adversarial: str | None = None,
    filtered: str | None = None,
) -> None:
    """Attack the test images, in the test set's order.

    Args:
        job: its settings are `model` and `attack`, each `implementation` and `parameters` (and
            `random`), of the attack also what `rows_of` wants; for an aware attacker also
            `filter`, like them, its `gradient`, the `eot_samples` of a random one, and the
            `detectors` that look at what it is given. Blind, the bare classifier is attacked.
        test: clean test images.
        checkpoint: of the classifier.
        adversarial: the set to write; None if only what the filter makes of it is wanted.
        filtered: of an aware attacker, what the filter makes of the set; None if not wanted.
    """
    with job.logged() as log:
        device = resolve(job.device)
        clean = read_clean(test, device)
        generator = seeded(job, device, "attack")
        model: nn.Module = load_classifier(checkpoint, job.settings["model"], device)
        model = target(job.settings, model, generator)
        rows = rows_of(job.settings["attack"], clean.labels, read_classes(test))
        images, measures = make_set(job.settings["attack"], generator, model, clean.images, rows)
        means = {name: round(value.mean().item(), 4) for name, value in measures.items()}
        log.info("%d images, means %s", len(images), means)
        found = ImageSet(images, rows.labels, measures, rows.columns)
        if adversarial is not None:
            write_image_set(adversarial, found, job.metadata)
        if filtered is not None:
            # The attacker has no say in what the filter draws.
            module = build(job.settings["filter"], seeded(job, device, "filter"))
            write_image_set(filtered, replace(found, images=apply(module, images)), job.metadata)


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
    craft = attacker(settings, generator)
    is_fooling = "fooling" in settings
    images = clean.new_empty(len(rows.index), *clean.shape[1:])
    measures = []
    for start in range(0, len(images), BATCH):
        part, out = rows[start : start + BATCH], images[start : start + BATCH]
        given = clean if is_fooling else part.of(clean)
        aim = {} if part.targets is None or is_fooling else {"targets": part.targets}
        out.copy_(craft(model, given, part.labels, **aim, **changed))
        if isinstance(model, Watched) and not is_fooling:
            quiet = {name: value for name, value in changed.items() if name != "on_step"}
            other = craft(model.through, given, part.labels, **aim, **quiet)
            better = gets_through(model, other, part) & ~gets_through(model, out, part)
            out[better] = other[better]
        measures.append(measure(out, out if is_fooling else given))
    joined = {name: torch.cat([part[name] for part in measures]) for name in ImageSet.MEASURES}
    if is_fooling:
        joined |= {name: torch.full_like(joined[name], torch.nan) for name in NORMS}
    return images, joined


@torch.no_grad()
def gets_through(model: Watched, images: Tensor, rows: Rows) -> Tensor:
    """Mark the images (M, C, H, W) that are accepted, and taken for what they are to be: (M,)."""
    if rows.targets is not None:
        aimed: Tensor = model(images).argmax(1) == rows.targets
        return aimed
    return ask(model, images, rows.labels).argmax(1) != rows.labels


def attacker(settings: dict[str, Any], generator: torch.Generator) -> Callable[..., Tensor]:
    """Make an attack of its `implementation` and `parameters`, for a model, images and labels.

    One that is `random` draws from the generator.
    """
    options = {"generator": generator} if settings.get("random") else {}
    return partial(load(settings["implementation"]), **settings["parameters"], **options)


def target(settings: dict[str, Any], model: nn.Module, generator: torch.Generator) -> nn.Module:
    """Make what is attacked: the model, or, where the settings have a `filter`, both as one.

    With the `detectors` that look at what the filter is given, if there are some.
    """
    if "filter" not in settings:
        return model
    how = settings["filter"]
    model = Shared(model)
    through = defended(
        build(how, generator),
        model,
        # What filters in sequence take of each, they see to themselves.
        gradient="exact" if how.get("then") else how["gradient"],
        eot_samples=settings.get("eot_samples"),
    )
    detectors = settings.get("detectors")
    return watched(detectors, through, model, generator) if detectors else through
