"""Stage attack: make adversarial sets."""

from dataclasses import replace

from torch import nn

from epsigma.attacks.craft import make_set, rows_of
from epsigma.defence import build_target
from epsigma.device import resolve
from epsigma.filters.build import apply_filter, build_filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.storage.images import (
    ImageSet,
    read_classes,
    read_clean,
    write_image_set,
)


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
        generator = seeded_generator(job, device, "attack")
        model: nn.Module = load_classifier(checkpoint, job.settings["model"], device)
        model = build_target(job.settings, model, generator)
        rows = rows_of(job.settings["attack"], clean.labels, read_classes(test))
        images, measures = make_set(job.settings["attack"], generator, model, clean.images, rows)
        means = {name: round(value.mean().item(), 4) for name, value in measures.items()}
        log.info("%d images, means %s", len(images), means)
        found = ImageSet(images, rows.labels, measures, rows.columns)
        if adversarial is not None:
            write_image_set(adversarial, found, job.metadata)
        if filtered is not None:
            # The attacker has no say in what the filter draws.
            module = build_filter(job.settings["filter"], seeded_generator(job, device, "filter"))
            write_image_set(
                filtered, replace(found, images=apply_filter(module, images)), job.metadata
            )
