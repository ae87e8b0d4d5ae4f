"""Stage fool: make fooling images."""

from epsigma.attacks.fooling_set import fooling_rows, make_fooling_set
from epsigma.defence import build_target
from epsigma.device import resolve
from epsigma.filters.build import filter_images
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.storage.images import ImageSet, read_classes, read_clean, write_image_set


def fool(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    adversarial: str | None = None,
    filtered: str | None = None,
) -> None:
    """Make fooling images: so many for each class, class by class.

    Writes and reads what the stage `attack` does; of the attack's settings also `images`, how many
    for each class. Blind, the classifier alone is fooled.
    """
    with job.logged() as log:
        device, settings = resolve(job.device), job.settings
        clean = read_clean(test, device).images
        generator = seeded_generator(job, device, "attack")
        classifier = load_classifier(checkpoint, settings["model"], device)
        target = build_target(settings, classifier, generator)
        rows = fooling_rows(read_classes(test), settings["attack"]["images"], device)
        images, measures = make_fooling_set(settings["attack"], generator, target, clean, rows)
        log.info("%d images", len(images))
        made = ImageSet(images, rows.labels, measures, rows.columns)
        if adversarial is not None:
            write_image_set(adversarial, made, job.metadata)
        if filtered is not None:
            # The attacker does not control what the filter draws.
            draws = seeded_generator(job, device, "filter")
            write_image_set(filtered, filter_images(made, settings["filter"], draws), job.metadata)
