"""Stage gallery: one test image, clean and attacked, through a filter at every strength."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epsigma.classifier import load_classifier, most_probable, predict
from epsigma.device import CPU
from epsigma.files import read_ledger
from epsigma.stages.filter import apply, build, seeded
from epsigma.stages.job import Job
from epsigma.tensors import read_clean, read_image_set, write_tensors


def make_gallery(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    adversarial: Sequence[str],
    ledgers: Sequence[str],
    gallery: str,
) -> None:
    """Put one image through a filter at every strength, and ask the model each time.

    Args:
        job: its settings are the `model`, the `budgets` (as paths spell them) and the `filters`,
            each `strength` (as paths spell it), `implementation` and `parameters`.
        test: clean test images.
        checkpoint: of the classifier.
        adversarial: the adversarial set of each budget.
        ledgers: the unfiltered ledger of each budget.
        gallery: safetensors to write: `images` (2, K, C, H, W) float32, clean and attacked, through
            each of K filters; `predictions` int64 and `probabilities` float32, (2, K); `index` and
            `label` of the image. Metadata: `budget`, and `strengths` as a JSON list.
    """
    with job.logged() as log:
        columns = [read_ledger(path, ["correct", "correct_clean"]) for path in ledgers]
        level, index = choose(
            [column["correct"] for column in columns], columns[0]["correct_clean"]
        )
        clean = read_clean(test, CPU)
        attacked = read_image_set(adversarial[level], CPU).images[index]
        pair = torch.stack([clean.images[index], attacked])
        filters = job.settings["filters"]
        generator = seeded(job, CPU, "filter")
        shown = torch.stack([apply(build(entry, generator), pair) for entry in filters], dim=1)
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        predictions, probabilities = most_probable(predict(model, shown.flatten(0, 1)))
        budget = job.settings["budgets"][level]
        write_tensors(
            gallery,
            {
                "images": shown,
                "predictions": predictions.view(2, -1),
                "probabilities": probabilities.view(2, -1),
                "index": torch.tensor(index),
                "label": clean.labels[index],
            },
            {
                **job.metadata,
                "budget": budget,
                "strengths": json.dumps([entry["strength"] for entry in filters]),
            },
        )
        log.info("image %d at %s", index, budget)


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
