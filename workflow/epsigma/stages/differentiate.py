"""Stage differentiate: find the directions that cells of all budgets step along."""

from epsigma.attacks.craft import rows_of
from epsigma.attacks.direction import find_directions
from epsigma.attacks.fitting import fit_attacked_batches
from epsigma.defence import build_target
from epsigma.device import resolve
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.storage.batches import batch_size
from epsigma.storage.images import read_classes
from epsigma.storage.stored import open_clean
from epsigma.storage.writing import writing_set


def differentiate(job: Job, *, test: str, checkpoint: str, direction: str) -> None:
    """Find the direction of an attack on each test image.

    Args:
        job: its settings are the `model`, the `direction`, how to make it, what `rows_of` wants,
            and, of an aware attacker, what `build_target` wants.
        test: the test images.
        checkpoint: of the classifier.
        direction: safetensors to write: `images`, the directions (M, C, H, W), int8, and `labels`.
    """
    with job.logged() as log:
        device, settings = resolve(job.device), job.settings
        clean = open_clean(test, device)
        generator = seeded_generator(job, device, "attack")
        classifier = load_classifier(checkpoint, settings["model"], device)
        target = build_target(settings, classifier, generator)
        rows = rows_of(settings, clean.labels, read_classes(test))
        with (
            fit_attacked_batches(job, target, clean.images, rows.labels, generator),
            writing_set(direction, len(rows.index), job.metadata) as file,
        ):
            log.info("batches of %d images", batch_size())
            found = find_directions(
                settings["direction"], target, clean.images, rows, say=log.warning
            )
            for part in found:
                file.write(part)
        log.info("%d directions", len(rows.index))
