"""Stage filter: put a filter in front of the classifier."""

import math

import torch

from epsigma.device import resolve
from epsigma.filters.build import apply_filter, build_filter
from epsigma.job import Job
from epsigma.randomness import seeded_generator
from epsigma.sizing import fit_batches
from epsigma.storage.batches import each_batch
from epsigma.storage.images import ImageSet
from epsigma.storage.stored import open_image_set
from epsigma.storage.writing import writing_set
from epsigma.vocabulary import FILTERED_AS, FLOAT32


def filter_set(job: Job, *, adversarial: str, filtered: str) -> None:
    """Filter an adversarial set; labels and measures stay as they are.

    The job's settings are the `filter`: `implementation`, `parameters`, and `random` if it draws;
    and `stored_as`, if adversarial sets are no float32: the filtered one is that of `FILTERED_AS`.
    """
    with job.logged() as log:
        device = resolve(job.device)
        generator = seeded_generator(job, device, "filter")
        given = open_image_set(adversarial, device)
        module = build_filter(job.settings["filter"], generator)
        low, high = math.inf, -math.inf

        def filter_rows(at: slice) -> ImageSet:
            rows = {name: value[at] for name, value in given.rows.items()} if given.rows else None
            measures = {name: value[at] for name, value in given.measures.items()}
            images = apply_filter(module, given.images[at])
            return ImageSet(images, given.labels[at], measures, rows)

        count, stored_as = len(given.labels), job.settings.get("stored_as", FLOAT32)
        with (
            torch.no_grad(),
            fit_batches(job, given.images, module, device, generator),
            writing_set(filtered, count, job.metadata, FILTERED_AS[stored_as]) as writer,
        ):
            for part in each_batch(count, filter_rows, generator=generator, say=log.warning):
                writer.write(part)
                low, high = min(low, float(part.images.min())), max(high, float(part.images.max()))
        log.info("%d images, from %.3f to %.3f", count, low, high)
