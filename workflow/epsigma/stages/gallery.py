"""Stage gallery: a test image, clean and attacked, through a filter at every strength."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epsigma.device import CPU
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.probing.gallery import write_gallery
from epsigma.storage.images import read_class_names
from epsigma.storage.ledgers import read_ledger
from epsigma.storage.stored import open_clean, open_image_set


def make_gallery(
    job: Job,
    *,
    test: str,
    checkpoint: str,
    adversarial: Sequence[str],
    ledgers: Sequence[str],
    gallery: str,
) -> None:
    """Put a test image, clean and attacked, through a filter at every strength.

    It reads the adversarial set and the unfiltered ledger of each budget. The job's settings are
    the `model`, the `budgets` (as paths spell them), and what `write_gallery` wants.
    """
    with job.logged() as log:
        columns = [read_ledger(path, ["index", "correct", "correct_clean"]) for path in ledgers]
        level, row = choose([column["correct"] for column in columns], columns[0]["correct_clean"])
        index, budget = int(columns[level]["index"][row]), job.settings["budgets"][level]
        clean = open_clean(test, CPU)
        attacked = open_image_set(adversarial[level], CPU).images[row : row + 1]
        shown = torch.cat([clean.images[index : index + 1], attacked])
        twice = torch.tensor([index, index])
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        names, labels = read_class_names(test), clean.labels[twice]
        write_gallery(job, gallery, model, shown, twice, labels, budget, names)
        log.info("image %d at %s", index, budget)


def choose(
    correct: Sequence[NDArray[np.bool_]], correct_clean: NDArray[np.bool_]
) -> tuple[int, int]:
    """Choose a budget and an image, by a rule that does not look at any filter.

    By what the model gets right, (N,), unfiltered: attacked at each budget, and clean.

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
