"""Stage calibrate: set the thresholds of detectors."""

import torch
from torch import Tensor

from epsigma.detectors.build import build_detector, score_images
from epsigma.device import CPU
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.sizing import fit_batches
from epsigma.storage.files import write_json
from epsigma.storage.images import read_training, read_validation
from epsigma.training.validation import held_out


def calibrate(job: Job, *, images: str, checkpoint: str, threshold: str) -> None:
    """Set a detector's threshold on clean images that neither it nor the classifier learnt from.

    JSON: `threshold`, above which at most `rate` of the `n` images score (of few perhaps none),
    `rejected`, how many do, and the `median` score. The job's settings are the `detector`, the
    `model`, the `seed` and the smallest `validation` fraction of the training images that was held
    out, and the `rate` of false positives. A data set's own validation images are taken instead.
    """
    with job.logged() as log:
        settings = job.settings
        own = read_validation(images, CPU)
        if own is None:
            clean = read_training(images, CPU).images
            rows = held_out(len(clean), fraction=settings["validation"], seed=settings["seed"])
            held = clean[rows]
        else:
            held = own.images
        model = load_classifier(checkpoint, settings["model"], CPU)
        detector = build_detector(settings["detector"], CPU)

        def score_one(image: Tensor) -> None:
            score_images(detector, image, model)

        with torch.no_grad(), fit_batches(job, held, score_one, CPU):
            scores = score_images(detector, held, model)
        # As many as may be rejected lie above it.
        allowed = int(settings["rate"] * len(scores))
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
