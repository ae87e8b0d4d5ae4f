"""Stage calibrate: set the thresholds of detectors."""

import torch
from torch import Tensor

from epsigma.detectors.build import build_detector, score_images
from epsigma.detectors.rate import count_allowed
from epsigma.device import CPU
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.randomness import seeded_generator
from epsigma.sizing import fit_batches
from epsigma.storage.batches import Chosen, Images
from epsigma.storage.files import write_json
from epsigma.storage.images import refuse_untrained
from epsigma.storage.stored import open_clean, open_validation
from epsigma.training.validation import split


def calibrate(job: Job, *, images: str, checkpoint: str, threshold: str) -> None:
    """Set a detector's threshold on clean images that neither it nor the classifier learnt from.

    JSON: `threshold`, above which at most `rate` of the `n` images score (of few perhaps none),
    `rejected`, how many do, and the `median` score. The job's settings are the `detector`, the
    `model`, the `seed` and the smallest `validation` fraction of the training images that was held
    out, and the `rate` of false positives. A data set's own validation images are taken instead.
    """
    with job.logged() as log:
        settings = job.settings
        held = _open_held_out(images, settings["validation"], settings["seed"])
        model = load_classifier(checkpoint, settings["model"], CPU)
        generator = seeded_generator(job, CPU, "detectors")
        detector = build_detector(settings["detector"], CPU, generator)

        def score_one(image: Tensor) -> None:
            score_images(detector, image, model)

        with torch.no_grad(), fit_batches(job, held, score_one, CPU, generator):
            scores = score_images(detector, held, model)
        # As many as may be rejected lie above it.
        allowed = int(count_allowed(settings["rate"], len(scores)))
        limit = scores.sort(descending=True).values[allowed]
        found = {
            "cell": job.cell,
            "threshold": float(limit),
            "rate": settings["rate"],
            "n": len(scores),
            "rejected": int((scores > limit).sum()),
            "median": float(scores.median()),
        }
        write_json(threshold, found)
        log.info("%s", found)


def _open_held_out(path: str, fraction: float, seed: int) -> Images:
    """Open what a data set brings to validate on, or what training holds out of its images."""
    own = open_validation(path, CPU)
    if own is not None:
        return own.images
    clean = open_clean(path, CPU).images
    refuse_untrained(len(clean))
    held, _ = split(len(clean), fraction=fraction, seed=seed)
    return Chosen(clean, held)
