"""Scoring: what a classifier, with its filter and its detectors, makes of each example."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epsigma.attacks.losses import margin
from epsigma.cell import Cell
from epsigma.defence import add_detectors
from epsigma.detectors.rejection import ClassifierWithDetectors, fold_rejection
from epsigma.device import CPU
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.job import Job
from epsigma.memoize import memoizing
from epsigma.models.classifier import most_probable, predict
from epsigma.randomness import seeded_generator
from epsigma.sizing import fit_batches
from epsigma.storage.batches import Images, batches
from epsigma.storage.images import FOOLED_BY, ROUNDED, UNROUNDED, ImageSet
from epsigma.storage.ledgers import REJECTS, SCORE
from epsigma.storage.stored import StoredSet

# The columns of a ledger by name, (N,) each.
Columns = dict[str, NDArray[Any]]


class FilteredClassifier(nn.Module):
    """A filter, which works on a device of its own, in front of a classifier on the CPU."""

    def __init__(self, module: Filter, classifier: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module = module
        self.classifier = classifier
        self.device = device

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K)."""
        logits: Tensor = self.classifier(self.module(images.to(self.device)).cpu())
        return logits


def score_defended(
    job: Job,
    classifier: nn.Module,
    images: Images,
    labels: Tensor,
    *,
    device: torch.device | None,
    perturbed: Tensor | bool,
) -> Columns:
    """Score images as the settings of a job say.

    Args:
        job: its settings are the `filter`, and the `detectors` that score the images before it.
        classifier: on the CPU; `Memoized` if there are detectors.
        images: (N, C, H, W) float32, on the CPU.
        labels: (N,) int64.
        device: where the filter works; None if the images have passed it.
        perturbed: (N,) bool, which images were attacked: a rejection is `correct` for these only.

    Returns:
        The columns of `score`, with detectors those of `judge`.
    """
    filtered_classifier = classifier
    generators = []
    if device is not None:
        # What a filter draws does not depend on the threat, as in the stages that filter.
        cell = {name: value for name, value in job.cell.items() if name != "threat"}
        generator = seeded_generator(replace(job, cell=cell), device, "filter")
        module = build_filter(job.settings["filter"], generator)
        filtered_classifier = FilteredClassifier(module, classifier, device)
        generators.append(generator)
    detectors = job.settings.get("detectors")
    if not detectors:
        with torch.no_grad(), fit_batches(job, images, filtered_classifier, CPU, *generators):
            return score(filtered_classifier, images, labels)
    generator = seeded_generator(job, CPU, "detectors")
    defended = add_detectors(detectors, filtered_classifier, classifier, generator)
    with torch.no_grad(), fit_batches(job, images, defended, CPU, *generators, generator):
        columns = judge(defended, [one["detector"] for one in detectors], images, labels)
    rejected, right = columns["rejected"], columns["prediction"] == columns["label"]
    columns["correct"] = np.where(np.asarray(perturbed), rejected | right, right & ~rejected)
    return columns


def score(model: Callable[[Tensor], Tensor], images: Images, labels: Tensor) -> Columns:
    """Score each image, (N, C, H, W) float32 with labels (N,) int64, by a model.

    Returns:
        (N,) arrays: `index` int32, `label` and `prediction` int16, `probability` float32 (softmax
        of the predicted class), `margin` float32 (logit of the label minus the largest other),
        `correct` bool.

    Raises:
        ValueError: if the logits are not finite.
    """
    return _score_logits(predict(model, images), labels)


@torch.no_grad()
def judge(
    model: ClassifierWithDetectors, names: Sequence[str], images: Images, labels: Tensor
) -> Columns:
    """Score each image, as it is before the filter, by a classifier with detectors of these names.

    Returns:
        The columns of `score`, for the classifier behind its filter; `margin` with a rejection
        counted for the label; of each detector `score_NAME`, float32, and `rejects_NAME`, bool;
        `rejected` bool, whether one of them rejects; `correct_bare` bool, whether the classifier
        alone, without filter and detectors, is right.
    """
    logits, scores, undefended = [], [], []
    for (batch,) in batches(images):
        with memoizing():
            logits.append(model.filtered_classifier(batch))
            scores.append(model.score(batch))
            undefended.append(model.classifier(batch).argmax(1))
    joined_logits, joined_scores = torch.cat(logits), torch.cat(scores)
    columns = _score_logits(joined_logits, labels)
    folded = fold_rejection(model.add_rejection(joined_logits, joined_scores), labels)
    columns["margin"] = -margin(folded, labels).numpy()
    rejections = model.reject(joined_scores)
    for name, values, rejects in zip(names, joined_scores.T, rejections.T, strict=True):
        columns[f"{SCORE}{name}"] = values.contiguous().numpy()
        columns[f"{REJECTS}{name}"] = rejects.contiguous().numpy()
    columns["rejected"] = rejections.any(1).numpy()
    columns["correct_bare"] = (torch.cat(undefended) == labels).numpy()
    return columns


def _score_logits(logits: Tensor, labels: Tensor) -> Columns:
    """Score logits (N, K), as `score`."""
    if not torch.isfinite(logits).all():
        raise ValueError(
            "the model's logits are not finite: train it with a smaller learning_rate, or look for "
            "overflows in it"
        )
    prediction, probability = most_probable(logits)
    return {
        "index": np.arange(len(labels), dtype=np.int32),
        "label": labels.cpu().numpy().astype(np.int16),
        "prediction": prediction.cpu().numpy().astype(np.int16),
        "probability": probability.cpu().numpy(),
        "margin": -margin(logits, labels).cpu().numpy(),
        "correct": (prediction == labels).cpu().numpy(),
    }


def add_rows(columns: Columns, images: ImageSet | StoredSet) -> None:
    """Add which example each row is of, if the set says so, and whether its target was reached.

    The columns of `score_defended` get another `index` and, if all rows have a target, `target`
    int16 and `reached` bool: accepted, and taken for the target.
    """
    if images.rows is None:
        return
    columns["index"] = images.rows["index"].numpy().astype(np.int32)
    if (images.rows["target"] >= 0).all():
        columns["target"] = images.rows["target"].numpy().astype(np.int16)
        columns["reached"] = columns["prediction"] == columns["target"]
        if "rejected" in columns:
            columns["reached"] &= ~columns["rejected"]


def by_example(columns: Columns, name: str = "correct") -> NDArray[np.bool_]:
    """Reduce rows to examples, in their order: what holds of all rows that an example has.

    An attack that aims at several classes has several, and fools the model if one of them does.
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
        `n_fooled_8bit`; of images that were rounded to be stored `n_fooled_unrounded`, the examples
        that fooled what was attacked before, and `n_lost`, those of them that do not since; with
        detectors `n_rejected`, the examples of which every row is rejected; of an ensemble, for
        each of its attacks, how many it fooled of what it attacked, which is the bare model if it
        is blind: `n_fooled_by_` and its name.
    """
    correct, right = by_example(columns), by_example(columns, "correct_clean")
    n, n_correct, n_correct_clean = len(correct), int(correct.sum()), int(right.sum())
    n_fooled = int((right & ~correct).sum())
    figures: dict[str, float | int | None] = {
        "n": n,
        "n_correct": n_correct,
        "accuracy": n_correct / n,
        "n_correct_clean": n_correct_clean,
        "n_fooled": n_fooled,
        "attack_success": n_fooled / n_correct_clean if n_correct_clean else None,
    }
    for name in ("linf", "l2", "l0"):
        figures[name] = _none_if_nan(columns[name].mean(dtype=np.float64))
    for name in ("linf", "l2", "outside", "changed"):
        figures[f"{name}_max"] = _none_if_nan(columns[name].max())
    figures["confidence"] = float(columns["probability"].mean(dtype=np.float64))
    if "correct_8bit" in columns:
        rounded = by_example(columns, "correct_8bit")
        figures["n_correct_8bit"] = int(rounded.sum())
        figures["n_fooled_8bit"] = int((right & ~rounded).sum())
    if UNROUNDED in columns:
        before, since = (_by_any_row(columns, name) for name in (UNROUNDED, ROUNDED))
        figures["n_fooled_unrounded"] = int((right & before).sum())
        figures["n_lost"] = int((right & before & ~since).sum())
    if "rejected" in columns:
        figures["n_rejected"] = int(by_example(columns, "rejected").sum())
    for name in columns:
        if name.startswith(FOOLED_BY):
            figures[f"n_{name}"] = int(columns[name].sum())
    return figures


def _by_any_row(columns: Columns, name: str) -> NDArray[np.bool_]:
    """Reduce rows to examples: what holds of any row that an example has."""
    return ~by_example({"index": columns["index"], name: ~columns[name]}, name)


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def identify(cell: dict[str, str]) -> dict[str, Any]:
    """Return the identity of a cell, as its row in the tables has it, from its wildcards."""
    return Cell.from_wildcards(cell).columns
