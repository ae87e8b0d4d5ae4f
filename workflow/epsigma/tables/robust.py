"""`robust.csv`: what each defence keeps, against attackers who know it and who don't."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import Cell
from epsigma.tables.intervals import wilson, with_bounds
from epsigma.tables.scores import Bools, Scored, Scores
from epsigma.tables.seeds import Outcome, Outcomes
from epsigma.tables.strengths import find_validation
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
    over attacks of a norm and budget, example by example. The examples are those that all attacks
    of this norm and budget have, on whatever defence: defences compare on the same images.

    Returns:
        The columns `COLUMNS`; `aware`, accuracy against all attacks; `aware_8bit`, of images
        rounded to 8 bits; `blind`, against attackers who know neither the filter nor how the model
        was trained: on a defended variant these are transfers from the undefended model. Each with
        its Wilson interval, and the numbers of attacks, of examples and of those that are right,
        `…_attacks`, `…_n` and `…_n_correct`; of the examples also how many choose strengths
        (`epsigma.tables.strengths`) and how many of these are right, `…_n_validation` and
        `…_n_correct_validation`. Empty where there is no such cell.
    """
    validation = find_validation(scores)
    rows = []
    for columns, by_attacker in _group(scores):
        row = dict(columns)
        for name, scored in by_attacker.items():
            row |= _score_worst(scored, name, validation[columns["dataset"]])
        rows.append(row)
    names = [
        name
        for rate in RATES
        for name in (
            *(f"{rate}_attacks", f"{rate}_n", *with_bounds(rate), f"{rate}_n_correct"),
            *(f"{rate}_n_validation", f"{rate}_n_correct_validation"),
        )
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, *names])


def list_outcomes(scores: Scores) -> Outcomes:
    """List what became of the images, for `epsigma.tables.over_seeds`; `…_test`: that score."""
    validation = find_validation(scores)
    for columns, by_attacker in _group(scores):
        for name, scored in by_attacker.items():
            index = scored[0].index if scored else np.zeros(0, np.int32)
            scores_here = ~np.isin(index, validation[columns["dataset"]])
            for rate, right in _find_right(scored, name).items():
                yield columns, rate, Outcome.of_images(index, right)
                if rate == name:
                    outcome = Outcome.of_images(index[scores_here], right[scores_here])
                    yield columns, f"{rate}_test", outcome


def _group(scores: Scores) -> Iterator[tuple[dict[str, Any], dict[str, list[Scored]]]]:
    """Group the cells of a norm and a defence: those that any attacker may use, and the unaware.

    Yields:
        What the cells are of, and by `AWARE` and `BLIND` what became of their common examples.
    """
    attacks = scores.attacks

    def find_group(cell: Cell) -> tuple[Any, ...] | None:
        norm = attacks[cell.attack].norm
        return (cell.dataset, norm, cell.budget) if norm else None

    groups: dict[tuple[str, Cell], dict[Cell, Scored]] = {}
    for cell, scored in scores.on_common_examples(find_group).items():
        where = replace(cell, threat="", attack="")
        groups.setdefault((str(attacks[cell.attack].norm), where), {})[cell] = scored
    for (norm, where), cells in groups.items():
        is_known = any(
            is_white_box(cell.threat, cell.filter) and attacks[cell.attack].queries_model
            for cell in cells
        )
        unaware = [cells[cell] for cell in _unaware(scores, list(cells))]
        by_attacker = {AWARE: [*cells.values()] if is_known else [], BLIND: unaware}
        yield {**where.columns, "norm": norm}, by_attacker


def _unaware(scores: Scores, cells: Sequence[Cell]) -> list[Cell]:
    """Choose the cells of attackers who know neither the filter nor how the model was trained."""
    return [
        cell
        for cell in cells
        if cell.threat == BLIND
        and scores.defends.get(cell.model) in (None, scores.attacks[cell.attack].source_model)
    ]


def _find_right(scored: Sequence[Scored], name: str) -> dict[str, Bools]:
    """Find the examples that are right in all of some cells, by rate; nothing if there are none."""
    if not scored or not len(scored[0].index):
        return {}
    right: dict[str, Bools] = {name: ~np.logical_or.reduce([one.fooled for one in scored])}
    rounded = [one.fooled_8bit for one in scored if one.fooled_8bit is not None]
    if f"{name}_8bit" in RATES and len(rounded) == len(scored):
        right[f"{name}_8bit"] = ~np.logical_or.reduce(rounded)
    return right


def _score_worst(
    scored: Sequence[Scored], name: str, validation: NDArray[np.int32]
) -> dict[str, Any]:
    """Score cells by the worst of them, example by example; nothing if there are none."""
    found: dict[str, Any] = {}
    for rate, right in _find_right(scored, name).items():
        n, chooses = len(right), np.isin(scored[0].index, validation)
        n_correct = int(right.sum())
        bounds = zip(with_bounds(rate), (n_correct / n, *wilson(n_correct, n)), strict=True)
        found |= {
            f"{rate}_attacks": len(scored),
            f"{rate}_n": n,
            **dict(bounds),
            f"{rate}_n_correct": n_correct,
            f"{rate}_n_validation": int(chooses.sum()),
            f"{rate}_n_correct_validation": int((right & chooses).sum()),
        }
    return found
