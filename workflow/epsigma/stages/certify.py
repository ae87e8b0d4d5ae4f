"""Stage certify: prove what can be proved of a defended model at a budget, example by example."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.losses import ROUNDING, margin
from epsigma.cell import Cell, Level
from epsigma.device import CPU
from epsigma.filters.build import build_filter
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.proofs.exact import SAFE, UNSAFE
from epsigma.proofs.network import UnprovableError, fold
from epsigma.proofs.prove import Columns, know_attacks, prove
from epsigma.storage.files import write_json
from epsigma.storage.images import read_clean
from epsigma.storage.ledgers import read_cell, read_ledger, write_ledger


def certify(
    job: Job, *, test: str, checkpoint: str, attacked: Sequence[str], metrics: str, ledger: str
) -> None:
    """Prove that nothing in the ℓ∞ ball around a test image fools the defended model, or not.

    Args:
        job: its settings are the `model`, the `filter`, and `proofs`: how many `exact_examples`
            get an exact answer, and the `seconds` that each may take. Its cell has the budget.
        test: the test images.
        checkpoint: of the classifier.
        attacked: the ledgers of all attacks that know this defended model, at this budget in ℓ∞.
        metrics: JSON to write: of the attacks' `cells`, the examples (`n_proofs`), those that are
            proved safe (`n_certified`), those that some attack was run on (`n_attacked`), of these
            those that nothing fools (`n_unfooled`), counterexamples that are none (`n_refuted`);
            and why nothing is proved (`refused`), or null.
        ledger: Parquet to write: the columns of `prove`.
    """
    with job.logged() as log:
        clean = read_clean(test, CPU)
        images, labels = clean.images, clean.labels
        model = load_classifier(checkpoint, job.settings["model"], CPU)
        module = build_filter(job.settings["filter"])
        is_attacked, fooled = _find_fooled(attacked, len(labels))
        eps = Level.parse(job.cell["budget"]).value or 0.0
        n_refuted, refused = 0, None
        try:
            network = fold(module, model, _shape(images))
            defended, asked = nn.Sequential(module, model), job.settings["proofs"]
            proofs = prove(network, defended, images, labels, eps=eps, fooled=fooled, **asked)
            columns = proofs.columns
            unsafe = torch.from_numpy(columns["status"] == UNSAFE)
            found = (unsafe & ~fooled).nonzero().squeeze(1)
            made = proofs.counterexamples[found]
            n_refuted = count_refuted(defended, made, images[found], labels[found], eps)
        except UnprovableError as error:
            refused = str(error)
            columns = know_attacks(labels, fooled)
        counts = _count(columns, is_attacked) | {"n_refuted": n_refuted}
        figures = {"cells": _identify(attacked), **counts, "refused": refused}
        write_ledger(ledger, columns, job.metadata)
        write_json(metrics, {**figures, "made_by": job.metadata})
        log.info("%s", figures)


@torch.no_grad()
def count_refuted(
    model: nn.Module, made: Tensor, images: Tensor, labels: Tensor, eps: float
) -> int:
    """Count the counterexamples, (M, C, H, W) as the images, that are none.

    The model classifies them correctly, or they are farther than ε from the image in exact
    arithmetic, or outside [0, 1].
    """
    if not len(made):
        return 0
    inside = (made.double() - images.double()).abs().flatten(1).amax(1) <= eps
    inside &= ((made >= 0) & (made <= 1)).flatten(1).all(1)
    logits = model(made)
    # One is misclassified by rounding only, perhaps, and in another batch.
    is_right = margin(logits, labels) < -ROUNDING * logits.abs().amax(1)
    return int((~inside | is_right).sum())


def _shape(images: Tensor) -> tuple[int, int, int]:
    _, channels, height, width = images.shape
    return channels, height, width


def _find_fooled(ledgers: Sequence[str], n: int) -> tuple[Tensor, Tensor]:
    """Find the examples that some attack was run on, and those that one fools; each (N,) bool."""
    attacked, fooled = torch.zeros(2, n, dtype=torch.bool)
    for path in ledgers:
        rows = read_ledger(path, ["index", "correct"])
        index = torch.tensor(rows["index"]).long()
        attacked[index] = True
        fooled[index[~torch.tensor(rows["correct"])]] = True
    return attacked, fooled


def _identify(ledgers: Sequence[str]) -> list[dict[str, Any]]:
    return [Cell.from_wildcards(read_cell(path)).columns for path in ledgers]


def _count(columns: Columns, is_attacked: Tensor) -> dict[str, int]:
    status = columns["status"]
    return {
        "n_proofs": len(status),
        "n_certified": int((status == SAFE).sum()),
        "n_attacked": int(is_attacked.sum()),
        "n_unfooled": int((status[is_attacked.numpy()] != UNSAFE).sum()),
    }
