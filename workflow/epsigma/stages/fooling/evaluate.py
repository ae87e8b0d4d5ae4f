"""Stage evaluate_fooling: score fooling images, image by image."""

import numpy as np

from epsigma.cell import Level
from epsigma.device import CPU, resolve
from epsigma.job import Job
from epsigma.memoize import Memoized
from epsigma.models.classifier import load_classifier
from epsigma.scoring import add_rows, identify, score_defended, summarise
from epsigma.storage.files import write_json
from epsigma.storage.ledgers import write_ledger
from epsigma.storage.stored import open_image_set
from epsigma.vocabulary import FLOAT32


def evaluate_fooling(
    job: Job,
    *,
    checkpoint: str,
    metrics: str,
    ledger: str,
    images: str = "",
    adversarial: str = "",
) -> None:
    """Score a cell of fooling images, which have no clean counterpart and no true class.

    It reads and writes what the stage `evaluate` does. The label is the target; an image is
    `correct` unless the model accepts it: it is not rejected, and it is taken for its target with
    the confidence that is the cell's budget. All are `correct_clean`.
    """
    with job.logged() as log:
        given = open_image_set(images or adversarial, CPU)
        model = Memoized(load_classifier(checkpoint, job.settings["model"], CPU))
        device = resolve(job.device) if adversarial else None
        columns = score_defended(
            job, model, given.images, given.labels, device=device, perturbed=True
        )
        add_rows(columns, given)
        confident = columns["probability"] >= Level.parse(job.cell["budget"]).value
        columns["correct"] = ~(columns["reached"] & confident)
        columns["correct_clean"] = np.ones_like(columns["correct"])
        columns |= {name: value.numpy() for name, value in given.measures.items()}
        stored_as = {} if given.stored_as == FLOAT32 else {"stored_as": given.stored_as}
        figures = summarise(columns) | stored_as
        write_ledger(ledger, columns, job.metadata)
        write_json(metrics, {**identify(job.cell), **figures, "made_by": job.metadata})
        log.info("%s", figures)
