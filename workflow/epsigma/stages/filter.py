"""Stage filter: put a filter in front of the classifier."""

from epsigma.device import resolve
from epsigma.filters.build import filter_images
from epsigma.job import Job
from epsigma.randomness import seeded_generator
from epsigma.storage.images import read_image_set, write_image_set


def filter_set(job: Job, *, adversarial: str, filtered: str) -> None:
    """Filter an adversarial set; labels and measures stay as they are.

    The job's settings are the `filter`: `implementation`, `parameters`, and `random` if it draws.
    """
    with job.logged() as log:
        device = resolve(job.device)
        generator = seeded_generator(job, device, "filter")
        given = read_image_set(adversarial, device)
        result = filter_images(given, job.settings["filter"], generator)
        write_image_set(filtered, result, job.metadata)
        images = result.images
        log.info("%d images, from %.3f to %.3f", len(images), images.min(), images.max())
