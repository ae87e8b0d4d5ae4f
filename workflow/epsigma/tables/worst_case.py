"""`worst_case.csv`: the worst case over attacks, example by example."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd

from epsigma.cell import Cell
from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Bools, Scores, on_common_examples
from epsigma.vocabulary import AWARE, BLIND, GRADIENT_BASED, GRADIENT_FREE, NO_FILTER

COLUMNS = [
    *("dataset", "model", "seed", "threat", "norm", "budget_name", "budget"),
    *("filter", "strength_name", "strength", "attacks", "n", "n_correct"),
]


def score_worst_cases(scores: Scores) -> pd.DataFrame:
    """Score each filter against the best of all attacks of a norm and budget, example by example.

    The mean over examples (those that all of them attacked) of the worst over attacks. An aware
    attacker may also do what a blind one does, so the aware worst case is over both.

    Returns:
        The columns `COLUMNS` (`attacks` says how many), `accuracy` with its Wilson interval, and
        `gradient_free_only`: of the examples that a gradient-free attack fools, those that no
        attack that follows gradients does (empty where there are not both).
    """
    rows = []
    for (norm, where), cells in _group(scores).items():
        knows = where.filter == NO_FILTER or any(cell.threat == AWARE for cell in cells)
        if where.threat == AWARE and not knows:
            continue
        fooled = [one.fooled for one in on_common_examples([scores.cells[cell] for cell in cells])]
        families = [scores.attacks[cell.attack].family for cell in cells]
        any_fooled = np.logical_or.reduce(fooled)
        rows.append(
            {
                **where.columns,
                "norm": norm,
                "attacks": len(cells),
                "n": len(any_fooled),
                "n_correct": int((~any_fooled).sum()),
                "gradient_free_only": _count_gradient_free_only(fooled, families),
            }
        )
    table = pd.DataFrame(rows, columns=[*COLUMNS, "gradient_free_only"])
    add_rate(table, "accuracy", "n_correct")
    table["gradient_free_only"] = table.pop("gradient_free_only").astype("Int64")
    return table


def _group(scores: Scores) -> dict[tuple[str, Cell], list[Cell]]:
    """Group the cells of a threat and a norm that differ in their attack only."""
    groups: dict[tuple[str, Cell], list[Cell]] = {}
    for cell in scores.cells:
        norm = scores.attacks[cell.attack].norm
        for threat in [AWARE] if cell.threat == AWARE else [BLIND, AWARE]:
            if norm:
                where = replace(cell, threat=threat, attack="")
                groups.setdefault((norm, where), []).append(cell)
    return groups


def _count_gradient_free_only(fooled: list[Bools], families: list[str]) -> int | None:
    """Count what only gradient-free attacks fool; None unless there are such and others."""

    def by(chosen: Collection[str]) -> list[Bools]:
        return [one for one, family in zip(fooled, families, strict=True) if family in chosen]

    follow, free = by(GRADIENT_BASED), by([GRADIENT_FREE])
    if not follow or not free:
        return None
    return int((np.logical_or.reduce(free) & ~np.logical_or.reduce(follow)).sum())
