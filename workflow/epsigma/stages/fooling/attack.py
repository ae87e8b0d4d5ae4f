"""Stage fool: make fooling images."""

from epsigma.attacks.fitting import fit_attacked_batches
from epsigma.attacks.fooling_set import fooling_rows, make_fooling_parts
from epsigma.attacks.written import write_parts
from epsigma.defence import build_target
from epsigma.device import resolve
from epsigma.filters.build import build_filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.storage.images import read_classes
from epsigma.storage.stored import count_kept, open_clean
from epsigma.vocabulary import FLOAT32


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
        stored = open_clean(test, device).images
        clean = stored[: count_kept(stored.shape)]
        generator = seeded_generator(job, device, "attack")
        classifier = load_classifier(checkpoint, settings["model"], device)
        target = build_target(settings, classifier, generator)
        rows = fooling_rows(read_classes(test), settings["attack"]["images"], device)
        module = None
        if filtered is not None:
            # The attacker does not control what the filter draws.
            module = build_filter(settings["filter"], seeded_generator(job, device, "filter"))

        with fit_attacked_batches(job, target, clean, rows.labels, generator):
            parts = make_fooling_parts(
                settings["attack"], generator, target, clean, rows, say=log.warning
            )
            write_parts(
                parts,
                rows,
                job.metadata,
                shape=clean.shape[1:],
                adversarial=adversarial,
                filtered=filtered,
                module=module,
                stored_as=settings["attack"].get("stored_as", FLOAT32),
            )
        log.info("%d images", len(rows.index))
