"""Stage evaluate: score a set of images, example by example."""

import numpy as np
from numpy.typing import NDArray

from epsigma.device import CPU, resolve
from epsigma.job import Job
from epsigma.memoize import Memoized
from epsigma.models.classifier import load_classifier
from epsigma.scoring import Columns, add_rows, identify, score_defended, summarise
from epsigma.storage.batches import Changed
from epsigma.storage.class_names import encode_names
from epsigma.storage.files import write_json
from epsigma.storage.held import HeldSet
from epsigma.storage.images import read_class_names
from epsigma.storage.ledgers import read_ledger, write_ledger
from epsigma.storage.rounding import round_to_nearest
from epsigma.storage.stored import open_clean, open_image_set
from epsigma.vocabulary import FLOAT32


def evaluate_clean(job: Job, *, test: str, checkpoint: str, ledger: str) -> None:
    """Score the clean test images through a filter.

    Without one (`none`) it is the ledger that attack success is counted against. The job's settings
    are the `model` and those of `score_defended`, whose columns the ledger has. Its metadata name
    the classes as the data set does.
    """
    with job.logged() as log:
        clean = open_clean(test, CPU)
        model = Memoized(load_classifier(checkpoint, job.settings["model"], CPU))
        columns = score_defended(
            job, model, clean.images, clean.labels, device=CPU, perturbed=False
        )
        names = encode_names(read_class_names(test))
        write_ledger(ledger, columns, {**job.metadata, **names})
        log.info("accuracy %.4f of %d", columns["correct"].mean(), len(columns["correct"]))


def evaluate(
    job: Job,
    *,
    checkpoint: str,
    clean: str,
    metrics: str,
    ledger: str,
    images: str | HeldSet = "",
    adversarial: str | HeldSet = "",
) -> None:
    """Score a cell.

    Args:
        job: its settings are the `model`, those of `score_defended`, and `requantise`, whether to
            score the images once more with 8 bits.
        checkpoint: of the classifier.
        clean: the ledger of `evaluate_clean`, without a filter.
        metrics: JSON to write, see `summarise`; of a set that is no float32 also `stored_as`.
        ledger: Parquet to write: the columns of `score_defended` and `add_rows`, `correct_clean`,
            the measures of the unfiltered perturbation and, if asked for, `correct_8bit`.
        images: the cell's set as it is to be scored, or else
        adversarial: a set that has yet to pass the filter.

    Raises:
        ValueError: if the set's labels are not the test set's.
    """
    with job.logged() as log:
        scored = images or adversarial
        given = scored.open() if isinstance(scored, HeldSet) else open_image_set(scored, CPU)
        measures = given.measures
        model = Memoized(load_classifier(checkpoint, job.settings["model"], CPU))
        device = resolve(job.device) if adversarial else None
        perturbed = measures["linf"] > 0
        columns = score_defended(
            job, model, given.images, given.labels, device=device, perturbed=perturbed
        )
        add_rows(columns, given)
        columns["correct_clean"] = _correct_clean(columns, clean, given.rows is None, scored)
        if job.settings.get("requantise"):
            rounded = Changed(given.images, lambda found, _: round_to_nearest(found))
            columns["correct_8bit"] = score_defended(
                job, model, rounded, given.labels, device=device, perturbed=perturbed
            )["correct"]
        columns |= {name: value.numpy() for name, value in measures.items()}
        stored_as = {} if given.stored_as == FLOAT32 else {"stored_as": given.stored_as}
        figures = summarise(columns) | stored_as
        write_ledger(ledger, columns, job.metadata)
        write_json(metrics, {**identify(job.cell), **figures, "made_by": job.metadata})
        log.info("%s", figures)


def _correct_clean(
    columns: Columns, clean: str, is_complete: bool, scored: str | HeldSet
) -> NDArray[np.bool_]:
    """Look up, row by row, what the model, unfiltered, gets right when clean."""
    before = read_ledger(clean, ["label", "correct"])
    at = np.arange(len(before["label"])) if is_complete else columns["index"]
    exists = at.max(initial=0) < len(before["label"])
    if not exists or not np.array_equal(before["label"][at], columns["label"]):
        raise ValueError(
            f"the labels of {scored} are not the test set's in its order: delete it and run again"
        )
    correct: NDArray[np.bool_] = before["correct"][at]
    return correct
