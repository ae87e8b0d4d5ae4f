"""Stage evaluate: score a set of images, example by example."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epsigma.attacks.losses import margin
from epsigma.cell import Level
from epsigma.defence import with_detectors
from epsigma.detectors.rejection import ClassifierWithDetectors, fold_rejection
from epsigma.device import CPU, resolve
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.job import Job
from epsigma.memoize import Memoized, memoizing
from epsigma.models.classifier import load_classifier, most_probable, predict
from epsigma.randomness import seeded_generator
from epsigma.storage.files import write_json
from epsigma.storage.images import batches, read_clean, read_image_set
from epsigma.storage.ledgers import REJECTS, SCORE, read_ledger, write_ledger

Columns = dict[str, NDArray[Any]]
Classifier = Callable[[Tensor], Tensor]
# Of 8 bits, above zero.
LEVELS = 255


def evaluate_clean(job: Job, *, test: str, checkpoint: str, ledger: str) -> None:
    """Score the clean test images through a filter.

    Without one (`none`) it is the ledger that attack success is counted against.

    Args:
        job: its settings are the `model`, the `filter`, and the `detectors` that look at what it is
            given.
        test: clean test images.
        checkpoint: of the classifier.
        ledger: the file to write, with the columns of `score`; with detectors those of `judge`,
            and what they reject is not `correct`.
    """
    with job.logged() as log:
        clean = read_clean(test, CPU)
        model = Memoized(load_classifier(checkpoint, job.settings["model"], CPU))
        generator = seeded_generator(job, CPU, "filter")
        through = _behind(build_filter(job.settings["filter"], generator), model, CPU)
        columns = _scored(job, through, model, clean.images, clean.labels, perturbed=False)
        write_ledger(ledger, columns, job.metadata)
        log.info("accuracy %.4f of %d", columns["correct"].mean(), len(columns["correct"]))


def evaluate(
    job: Job,
    *,
    checkpoint: str,
    clean: str,
    metrics: str,
    ledger: str,
    images: str = "",
    adversarial: str = "",
) -> None:
    """Score a cell.

    Args:
        job: its settings are the `model`, the `filter`, the `detectors` that look at what it is
            given, `fooling` of images whose budget is the confidence at which they count, and
            `requantise`, whether to score them once more as images of 8 bits.
        checkpoint: of the classifier.
        clean: the ledger of `evaluate_clean`, without a filter.
        metrics: JSON to write, see `summarise`.
        ledger: Parquet to write: the columns of `score`, `correct_clean`, the measures of the
            unfiltered perturbation, and of a set that was aimed at classes `target` and
            `reached`, whether the model names it. Of fooling images, which are of no class, the
            label is the target, and one is `correct` unless the model names the target with the
            confidence that was asked for. With detectors, the columns of `judge`, and what they
            reject is `correct`, if it was perturbed. If asked for, `correct_8bit`.
        images: the cell's set as it is to be scored, or else
        adversarial: a set that has yet to pass the filter.

    Raises:
        ValueError: if the set's labels are not the test set's.
    """
    with job.logged() as log:
        given = read_image_set(images or adversarial, CPU)
        model = Memoized(load_classifier(checkpoint, job.settings["model"], CPU))

        def scored(shown: Tensor) -> Columns:
            through: Classifier = model
            if adversarial:
                # What a filter draws does not depend on the threat, as in the stages that filter.
                cell = {name: value for name, value in job.cell.items() if name != "threat"}
                device = resolve(job.device)
                generator = seeded_generator(replace(job, cell=cell), device, "filter")
                through = _behind(build_filter(job.settings["filter"], generator), model, device)
            perturbed = (given.measures or {})["linf"] > 0
            return _scored(job, through, model, shown, given.labels, perturbed=perturbed)

        columns = scored(given.images)
        before = read_ledger(clean, ["label", "correct"])
        if given.rows is not None:
            columns["index"] = given.rows["index"].numpy().astype(np.int32)
            if (given.rows["target"] >= 0).all():
                columns["target"] = given.rows["target"].numpy().astype(np.int16)
                columns["reached"] = columns["prediction"] == columns["target"]
                if "rejected" in columns:
                    columns["reached"] &= ~columns["rejected"]
        if job.settings.get("fooling"):
            sure = columns["probability"] >= Level.parse(job.cell["budget"]).value
            columns["correct"] = ~(columns["reached"] & sure)
            columns["correct_clean"] = np.ones_like(columns["correct"])
        else:
            # All of the test set, unless the set says which.
            at = np.arange(len(before["label"])) if given.rows is None else columns["index"]
            known = at.max(initial=0) < len(before["label"])
            if not known or not np.array_equal(before["label"][at], columns["label"]):
                raise ValueError(
                    f"the labels of {images} are not the test set's in its order: delete it and "
                    "run again"
                )
            columns["correct_clean"] = before["correct"][at]
            if job.settings.get("requantise"):
                rounded = scored((given.images * LEVELS).round_().div_(LEVELS))
                columns["correct_8bit"] = rounded["correct"]
        columns |= {name: value.cpu().numpy() for name, value in (given.measures or {}).items()}
        figures = summarise(columns)
        write_ledger(ledger, columns, job.metadata)
        write_json(metrics, {**_identity(job.cell), **figures, "made_by": job.metadata})
        log.info("%s", figures)


def _scored(
    job: Job,
    through: Classifier,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    perturbed: Tensor | bool,
) -> Columns:
    """Score images, and let the detectors judge them if the job's settings have some."""
    detectors = job.settings.get("detectors")
    if not detectors:
        return score(through, images, labels)
    whole = with_detectors(
        detectors, _Through(through), model, seeded_generator(job, CPU, "detectors")
    )
    names = [one["detector"] for one in detectors]
    columns = judge(whole, names, images, labels)
    rejected, right = columns["rejected"], columns["prediction"] == columns["label"]
    counts = np.asarray(perturbed)
    columns["correct"] = np.where(counts, rejected | right, right & ~rejected)
    return columns


class _Through(nn.Module):
    """A function from images to logits as a module."""

    def __init__(self, ask: Classifier) -> None:
        super().__init__()
        self.ask = ask

    def forward(self, images: Tensor) -> Tensor:
        return self.ask(images)


def _behind(module: Filter, model: nn.Module, device: torch.device) -> Classifier:
    """Put a filter, which works on a device, in front of a model."""
    return lambda images: model(module(images.to(device)).cpu())


def score(model: Classifier, images: Tensor, labels: Tensor) -> Columns:
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
    return _answers(predict(model, images), labels)


@torch.no_grad()
def judge(
    model: ClassifierWithDetectors, names: Sequence[str], images: Tensor, labels: Tensor
) -> Columns:
    """Ask the model and the detectors that watch over it about each image.

    Args:
        model: the classifier behind its filter, and the detectors.
        names: of the detectors.
        images: (N, C, H, W) float32, before the filter.
        labels: (N,) int64.

    Returns:
        The columns of `score`, for the classifier behind its filter; `margin` with a rejection
        counted for the label; of each detector `score_NAME`, float32, and `rejects_NAME`, bool;
        `rejected` bool, whether one of them rejects; `correct_bare` bool, whether the classifier
        alone, without filter and detectors, is right.
    """
    logits, scores, bare = [], [], []
    for (batch,) in batches(images):
        with memoizing():
            logits.append(model.through(batch))
            scores.append(model.scores(batch))
            bare.append(model.bare(batch).argmax(1))
    behind, suspicion = torch.cat(logits), torch.cat(scores)
    columns = _answers(behind, labels)
    with_rejection = fold_rejection(model.with_rejection(behind, suspicion), labels)
    columns["margin"] = -margin(with_rejection, labels).numpy()
    rejections = model.rejections(suspicion)
    for name, values, over in zip(names, suspicion.T, rejections.T, strict=True):
        columns[f"{SCORE}{name}"] = values.contiguous().numpy()
        columns[f"{REJECTS}{name}"] = over.contiguous().numpy()
    columns["rejected"] = rejections.any(1).numpy()
    columns["correct_bare"] = (torch.cat(bare) == labels).numpy()
    return columns


def _answers(logits: Tensor, labels: Tensor) -> Columns:
    """Say what logits (N, K) mean, image by image."""
    if not torch.isfinite(logits).all():
        raise ValueError("the model's logits are not finite")
    prediction, probability = most_probable(logits)
    return {
        "index": np.arange(len(labels), dtype=np.int32),
        "label": labels.cpu().numpy().astype(np.int16),
        "prediction": prediction.cpu().numpy().astype(np.int16),
        "probability": probability.cpu().numpy(),
        "margin": -margin(logits, labels).cpu().numpy(),
        "correct": (prediction == labels).cpu().numpy(),
    }


def by_example(columns: Columns, name: str = "correct") -> NDArray[np.bool_]:
    """Reduce rows to examples: what holds of all rows of an example, in the examples' order.

    An attack that aims at several classes has several rows an example, and has fooled the model if
    one of them does: the worst case is per example.
    """
    index, first = np.unique(columns["index"], return_index=True)
    values: NDArray[np.bool_] = columns[name]
    if len(index) == len(values):
        return values
    return np.logical_and.reduceat(values, first)


def summarise(columns: Columns) -> dict[str, float | int | None]:
    """Condense a ledger to a cell's figures.

    Returns:
        `n`; `n_correct` and `accuracy`, over all examples; `n_correct_clean`, the examples that
        the model, unfiltered, gets right when clean; `n_fooled` of these and `attack_success`,
        their share (None if there are none); means over all rows of `linf`, `l2`, `l0`, and
        the largest `linf`, `l2`, `outside` and `changed`, as `linf_max` and so on (None of
        fooling images, which have no clean counterpart); and the mean `confidence`, softmax
        probability of the predicted class, over all rows. See `by_example` for several rows an
        example. Of images that were scored once more with 8 bits, `n_correct_8bit` and
        `n_fooled_8bit`; with detectors `n_rejected`, the examples of which every row is rejected.
    """
    correct, right = by_example(columns), by_example(columns, "correct_clean")
    n, n_correct, n_correct_clean = len(correct), int(correct.sum()), int(right.sum())
    n_fooled = int((right & ~correct).sum())
    return {
        "n": n,
        "n_correct": n_correct,
        "accuracy": n_correct / n,
        "n_correct_clean": n_correct_clean,
        "n_fooled": n_fooled,
        "attack_success": n_fooled / n_correct_clean if n_correct_clean else None,
        **{name: _known(columns[name].mean(dtype=np.float64)) for name in ("linf", "l2", "l0")},
        **{
            f"{name}_max": _known(columns[name].max())
            for name in ("linf", "l2", "outside", "changed")
        },
        "confidence": float(columns["probability"].mean(dtype=np.float64)),
        **_more(columns, right),
    }


def _more(columns: Columns, right: NDArray[np.bool_]) -> dict[str, int]:
    """Count what only some ledgers have."""
    found = {}
    if "correct_8bit" in columns:
        rounded = by_example(columns, "correct_8bit")
        found["n_correct_8bit"] = int(rounded.sum())
        found["n_fooled_8bit"] = int((right & ~rounded).sum())
    if "rejected" in columns:
        found["n_rejected"] = int(by_example(columns, "rejected").sum())
    return found


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


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
