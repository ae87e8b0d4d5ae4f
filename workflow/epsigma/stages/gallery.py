"""Stage gallery: a few images through a filter at every strength, and what the model says."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epsigma.defence import with_detectors
from epsigma.device import CPU
from epsigma.filters.build import apply_filter, build_filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier, most_probable, predict
from epsigma.randomness import seeded_generator
from epsigma.storage.images import read_clean, read_image_set, write_tensors
from epsigma.storage.ledgers import read_ledger


def make_gallery(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    adversarial: Sequence[str],
    ledgers: Sequence[str],
    gallery: str,
) -> None:
    """Put images through a filter at every strength, and ask the model each time.

    One test image, clean and attacked; or, of fooling images, one of each class.

    Args:
        job: its settings are the `model`, the `budgets` (as paths spell them), whether the attack
            is `fooling`, and the `filters`, each `strength` (as paths spell it), `implementation`
            and `parameters`, of which the first is none; and the `detectors` that look at what the
            others are given.
        test: clean test images.
        checkpoint: of the classifier.
        adversarial: the adversarial set of each budget.
        ledgers: the unfiltered ledger of each budget.
        gallery: safetensors to write: `images` (R, K, C, H, W) float32, R images, such as clean and
            attacked, through each of K filters; `predictions` int64, `probabilities` float32 and
            `rejected` bool, (R, K); `index` and `label`, (R,), of the images. Metadata: `budget`,
            and `strengths` as a JSON list.
    """
    with job.logged() as log:
        pick = _of_each_class if job.settings["fooling"] else _clean_and_attacked
        level, index, shown, labels = pick(test, adversarial, ledgers)
        filters = job.settings["filters"]
        generator = seeded_generator(job, CPU, "filter")
        images = torch.stack(
            [apply_filter(build_filter(entry, generator), shown) for entry in filters], dim=1
        )
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        predictions, probabilities = most_probable(predict(model, images.flatten(0, 1)))
        rejected = torch.zeros(images.shape[:2], dtype=torch.bool)
        if detectors := job.settings.get("detectors"):
            whole = with_detectors(detectors, model, model, seeded_generator(job, CPU, "detectors"))
            with torch.no_grad():
                rejected[:, 1:] = whole.rejections(whole.scores(shown)).any(1, keepdim=True)
        budget = job.settings["budgets"][level]
        write_tensors(
            gallery,
            {
                "images": images,
                "predictions": predictions.view(len(shown), -1),
                "probabilities": probabilities.view(len(shown), -1),
                "rejected": rejected,
                "index": index,
                "label": labels,
            },
            {
                **job.metadata,
                "budget": budget,
                "strengths": json.dumps([entry["strength"] for entry in filters]),
            },
        )
        log.info("images %s at %s", index.tolist(), budget)


def _clean_and_attacked(
    test: str, adversarial: Sequence[str], ledgers: Sequence[str]
) -> tuple[int, Tensor, Tensor, Tensor]:
    """Pick an image, clean and attacked: which budget, then index, images and label of each."""
    columns = [read_ledger(path, ["index", "correct", "correct_clean"]) for path in ledgers]
    level, row = choose([column["correct"] for column in columns], columns[0]["correct_clean"])
    index = int(columns[level]["index"][row])
    clean = read_clean(test, CPU)
    attacked = read_image_set(adversarial[level], CPU).images[row]
    return (
        level,
        torch.tensor([index, index]),
        torch.stack([clean.images[index], attacked]),
        clean.labels[[index, index]],
    )


def _of_each_class(
    test: str, adversarial: Sequence[str], ledgers: Sequence[str]
) -> tuple[int, Tensor, Tensor, Tensor]:
    """Pick the first fooling image of each class, at the largest confidence."""
    made = read_image_set(adversarial[-1], CPU)
    classes = torch.unique(made.labels)
    first = (made.labels[None] == classes[:, None]).int().argmax(1)
    return len(adversarial) - 1, first, made.images[first], made.labels[first]


def choose(
    correct: Sequence[NDArray[np.bool_]], correct_clean: NDArray[np.bool_]
) -> tuple[int, int]:
    """Choose a budget and an image, by a rule that does not look at any filter.

    Args:
        correct: (N,), for each budget: what the model gets right when attacked at it, unfiltered.
        correct_clean: (N,), what it gets right when clean.

    Returns:
        The first budget that fools the model on half of what it gets right when clean (the one
        that fools it most, if none does), and the first image that is right when clean and fooled
        at that budget (the first right when clean, if none is; else the first).
    """
    fooled: list[Any] = [correct_clean & ~right for right in correct]
    half = correct_clean.sum() / 2
    enough = [level for level, these in enumerate(fooled) if these.sum() >= half]
    level = enough[0] if enough else int(np.argmax([these.sum() for these in fooled]))
    candidates = fooled[level] if fooled[level].any() else correct_clean
    return level, int(np.argmax(candidates))
