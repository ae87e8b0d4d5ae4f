"""`robust.csv`: what each defence keeps, against attackers who know it and who don't."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from epsigma.cell import Cell
from epsigma.tables.intervals import wilson, with_bounds
from epsigma.tables.scores import Scores, on_common_examples
from epsigma.tables.strengths import mark_validation
from epsigma.vocabulary import AWARE, BLIND, is_white_box

COLUMNS = [
    *("dataset", "model", "seed", "norm", "budget_name", "budget"),
    *("filter", "strength_name", "strength"),
]
# How robust a defence is, and to whom.
RATES = (BLIND, AWARE, f"{AWARE}_8bit")


def score_defences(scores: Scores) -> pd.DataFrame:
    """Score each defence against the best of all attacks that know it, and of those that don't.

    A defence is the model with what stands in front of it. As in `worst_case.csv`, the worst is
    over attacks of a norm and budget, example by example.

    Returns:
        The columns `COLUMNS`; `aware`, accuracy against all attacks; `aware_8bit`, of images
        rounded to 8 bits; `blind`, against attackers who know neither the filter nor how the model
        was trained: on a defended variant these are transfers from the undefended model. Each with
        its Wilson interval, and the numbers of attacks, of examples and of those that are right,
        `…_attacks`, `…_n` and `…_n_correct`; of the examples also how many choose strengths
        (`epsigma.tables.strengths`) and how many of these are right, `…_n_validation` and
        `…_n_correct_validation`. Empty where there is no such cell.
    """
    groups: dict[tuple[str, Cell], list[Cell]] = {}
    for cell in scores.cells:
        if norm := scores.attacks[cell.attack].norm:
            groups.setdefault((norm, replace(cell, threat="", attack="")), []).append(cell)
    rows = []
    for (norm, where), cells in groups.items():
        is_known = any(
            is_white_box(cell.threat, cell.filter) and scores.attacks[cell.attack].queries_model
            for cell in cells
        )
        rows.append(
            {
                **where.columns,
                "norm": norm,
                **_score_worst(scores, cells if is_known else [], AWARE),
                **_score_worst(scores, _unaware(scores, cells), BLIND),
            }
        )
    names = [
        name
        for rate in RATES
        for name in (
            *(f"{rate}_attacks", f"{rate}_n", *with_bounds(rate), f"{rate}_n_correct"),
            *(f"{rate}_n_validation", f"{rate}_n_correct_validation"),
        )
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, *names])


def _unaware(scores: Scores, cells: Sequence[Cell]) -> list[Cell]:
    """Choose the cells of attackers who know neither the filter nor how the model was trained."""
    return [
        cell
        for cell in cells
        if cell.threat == BLIND
        and scores.defends.get(cell.model) in (None, scores.attacks[cell.attack].source_model)
    ]


def _score_worst(scores: Scores, cells: Sequence[Cell], name: str) -> dict[str, Any]:
    """Score cells by the worst of them, example by example; nothing if there are none."""
    scored = on_common_examples([scores.cells[cell] for cell in cells]) if cells else []
    if not scored or not len(scored[0].index):
        return {}
    by_rate = {name: [one.fooled for one in scored]}
    rounded = [one.fooled_8bit for one in scored if one.fooled_8bit is not None]
    if f"{name}_8bit" in RATES and len(rounded) == len(scored):
        by_rate[f"{name}_8bit"] = rounded
    found: dict[str, Any] = {}
    n, chooses = len(scored[0].index), mark_validation(scored[0].label)
    for rate, fooled in by_rate.items():
        right = ~np.logical_or.reduce(fooled)
        n_correct = int(right.sum())
        bounds = zip(with_bounds(rate), (n_correct / n, *wilson(n_correct, n)), strict=True)
        found |= {
            f"{rate}_attacks": len(cells),
            f"{rate}_n": n,
            **dict(bounds),
            f"{rate}_n_correct": n_correct,
            f"{rate}_n_validation": int(chooses.sum()),
            f"{rate}_n_correct_validation": int((right & chooses).sum()),
        }
    return found
