"""Stage attack: make adversarial sets."""

from torch import nn

from epsigma.attacks.craft import make_set, rows_of
from epsigma.defence import build_target
from epsigma.device import resolve
from epsigma.filters.build import filter_images
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.storage.images import ImageSet, read_classes, read_clean, write_image_set


def attack(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    adversarial: str | None = None,
    filtered: str | None = None,
) -> None:
    """Attack the test images, in the test set's order.

    Writes the set (`adversarial`) or, of an aware attacker, what the filter makes of it
    (`filtered`), or both. The job's settings are `model` and `attack`, each `implementation` and
    `parameters` (and `random`), of the attack also what `rows_of` wants; for an aware attacker
    also what `build_target` wants. Blind, the classifier alone is attacked.
    """
    with job.logged() as log:
        device, settings = resolve(job.device), job.settings
        clean = read_clean(test, device)
        generator = seeded_generator(job, device, "attack")
        classifier: nn.Module = load_classifier(checkpoint, settings["model"], device)
        target = build_target(settings, classifier, generator)
        rows = rows_of(settings["attack"], clean.labels, read_classes(test))
        images, measures = make_set(settings["attack"], generator, target, clean.images, rows)
        means = {name: round(value.float().mean().item(), 4) for name, value in measures.items()}
        log.info("%d images, means %s", len(images), means)
        made = ImageSet(images, rows.labels, measures, rows.columns)
        if adversarial is not None:
            write_image_set(adversarial, made, job.metadata)
        if filtered is not None:
            # The attacker does not control what the filter draws.
            draws = seeded_generator(job, device, "filter")
            write_image_set(filtered, filter_images(made, settings["filter"], draws), job.metadata)
