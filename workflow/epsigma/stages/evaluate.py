"""Stage evaluate: score a set of images, example by example."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epsigma.classifier import load_classifier, most_probable, predict
from epsigma.device import CPU
from epsigma.files import read_ledger, write_json, write_ledger
from epsigma.grid import Level
from epsigma.stages.filter import apply, build, seeded
from epsigma.stages.job import Job
from epsigma.tensors import read_clean, read_image_set

Columns = dict[str, NDArray[Any]]


def evaluate_clean(job: Job, *, test: str, checkpoint: str, ledger: str) -> None:
    """Score the clean test images through a filter.

    Without one (`none`) it is the ledger that attack success is counted against.

    Args:
        job: its settings are the `model` and the `filter`.
        test: clean test images.
        checkpoint: of the classifier.
        ledger: the file to write, with the columns of `score`.
    """
    with job.logged() as log:
        clean = read_clean(test, CPU)
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        module = build(job.settings["filter"], seeded(job, CPU, "filter"))
        filtered = apply(module, clean.images)
        columns = score(model, filtered, clean.labels)
        write_ledger(ledger, columns, job.metadata)
        log.info("accuracy %.4f of %d", columns["correct"].mean(), len(columns["correct"]))


def evaluate(
    job: Job, *, images: str, checkpoint: str, clean: str, metrics: str, ledger: str
) -> None:
    """Score a cell.

    Args:
        job: its settings are the `model`.
        images: the cell's filtered (or, without a filter, adversarial) set.
        checkpoint: of the classifier.
        clean: the ledger of `evaluate_clean`, without a filter.
        metrics: JSON to write, see `summarise`.
        ledger: Parquet to write: the columns of `score`, `correct_clean`, and the measures of
            the unfiltered perturbation.

    Raises:
        ValueError: if the set's labels are not the test set's, in its order.
    """
    with job.logged() as log:
        given = read_image_set(images, CPU)
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        columns = score(model, given.images, given.labels)
        before = read_ledger(clean, ["label", "correct"])
        if not np.array_equal(before["label"], columns["label"]):
            raise ValueError(
                f"the labels of {images} are not the test set's in its order: delete it and run "
                "again"
            )
        columns["correct_clean"] = before["correct"]
        columns |= {name: value.cpu().numpy() for name, value in (given.measures or {}).items()}
        figures = summarise(columns)
        write_ledger(ledger, columns, job.metadata)
        write_json(metrics, {**_identity(job.cell), **figures, "made_by": job.metadata})
        log.info("%s", figures)


def score(model: nn.Module, images: Tensor, labels: Tensor) -> Columns:
    """Ask the model about each image.

    Args:
        model: from images to logits.
        images: (N, C, H, W) float32.
        labels: (N,) int64.

    Returns:
        (N,) arrays: `index` int32, `label` and `prediction` int16, `probability` float32 (softmax
        of the predicted class), `margin` float32 (logit of the label minus the largest other),
        `correct` bool.
    """
    logits = predict(model, images)
    if not torch.isfinite(logits).all():
        raise ValueError("the model's logits are not finite")
    prediction, probability = most_probable(logits)
    true = labels.unsqueeze(1)
    rival = logits.scatter(1, true, -torch.inf).amax(1)
    margin = logits.gather(1, true).squeeze(1) - rival
    return {
        "index": np.arange(len(labels), dtype=np.int32),
        "label": labels.cpu().numpy().astype(np.int16),
        "prediction": prediction.cpu().numpy().astype(np.int16),
        "probability": probability.cpu().numpy(),
        "margin": margin.cpu().numpy(),
        "correct": (prediction == labels).cpu().numpy(),
    }


def summarise(columns: Columns) -> dict[str, float | int | None]:
    """Condense a ledger to a cell's figures.

    Returns:
        `n`; `n_correct` and `accuracy`, over all examples; `n_correct_clean`, the examples that
        the model, unfiltered, gets right when clean; `n_fooled` of these and `attack_success`,
        their share (None if there are none); means over all examples of `linf`, `l2`, `l0`, and
        the largest `linf`, `l2` and `outside`, as `linf_max` and so on.
    """
    n, right = len(columns["correct"]), columns["correct_clean"]
    n_correct, n_correct_clean = int(columns["correct"].sum()), int(right.sum())
    n_fooled = int((right & ~columns["correct"]).sum())
    return {
        "n": n,
        "n_correct": n_correct,
        "accuracy": n_correct / n,
        "n_correct_clean": n_correct_clean,
        "n_fooled": n_fooled,
        "attack_success": n_fooled / n_correct_clean if n_correct_clean else None,
        **{name: float(columns[name].mean(dtype=np.float64)) for name in ("linf", "l2", "l0")},
        **{f"{name}_max": float(columns[name].max()) for name in ("linf", "l2", "outside")},
    }


def _identity(cell: dict[str, str]) -> dict[str, Any]:
    budget, strength = Level.parse(cell["budget"]), Level.parse(cell["strength"])
    return {
        "dataset": cell["dataset"],
        "model": cell["model"],
        "seed": int(cell["seed"]),
        "threat": cell["threat"],
        "attack": cell["attack"],
        "budget_name": budget.name,
        "budget": budget.value,
        "filter": cell["filter"],
        "strength_name": strength.name,
        "strength": strength.value,
    }
