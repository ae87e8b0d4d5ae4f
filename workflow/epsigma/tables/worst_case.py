"""`worst_case.csv`: the worst case over attacks, example by example."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from epsigma.cell import Cell
from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Bools, Scored, Scores
from epsigma.tables.seeds import Outcome, Outcomes
from epsigma.vocabulary import AWARE, BLIND, GRADIENT_BASED, GRADIENT_FREE, NO_FILTER

COLUMNS = [
    *("dataset", "model", "seed", "threat", "norm", "budget_name", "budget"),
    *("filter", "strength_name", "strength", "attacks", "n", "n_correct"),
]


def score_worst_cases(scores: Scores) -> pd.DataFrame:
    """Score each filter against the best of all attacks of a norm and budget, example by example.

    The mean over examples of the worst over attacks. An aware attacker may also do what a blind one
    does, so the aware worst case is over both. The examples are those that all attacks of this norm
    and budget have, on whatever filter: filters, threats and seeds compare on the same images.

    Returns:
        The columns `COLUMNS` (`attacks` says how many), `accuracy` with its Wilson interval, and
        `gradient_free_only`: of the examples that a gradient-free attack fools, those that no
        attack that follows gradients does (empty where there are not both).
    """
    rows = []
    for columns, cells in _find_worst_cases(scores):
        any_fooled = _find_fooled(cells)
        families = [scores.attacks[cell.attack].family for cell in cells]
        fooled = [scored.fooled for scored in cells.values()]
        rows.append(
            {
                **columns,
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


def list_outcomes(scores: Scores) -> Outcomes:
    """List what became of the images in the worst case, for `epsigma.tables.over_seeds`."""
    for columns, cells in _find_worst_cases(scores):
        index = next(iter(cells.values())).index
        yield columns, "accuracy", Outcome.of_images(index, ~_find_fooled(cells))


def _find_fooled(cells: dict[Cell, Scored]) -> Bools:
    any_fooled: Bools = np.logical_or.reduce([scored.fooled for scored in cells.values()])
    return any_fooled


def _find_worst_cases(scores: Scores) -> Iterator[tuple[dict[str, Any], dict[Cell, Scored]]]:
    """List the cells of a threat and a norm that differ in their attack only, on common images."""
    norms = {name: attack.norm for name, attack in scores.attacks.items()}

    def find_group(cell: Cell) -> tuple[Any, ...] | None:
        norm = norms[cell.attack]
        return (cell.dataset, cell.model, norm, cell.budget) if norm else None

    groups: dict[tuple[str, Cell], dict[Cell, Scored]] = {}
    for cell, scored in scores.on_common_examples(find_group).items():
        for threat in [AWARE] if cell.threat == AWARE else [BLIND, AWARE]:
            where = replace(cell, threat=threat, attack="")
            groups.setdefault((str(norms[cell.attack]), where), {})[cell] = scored
    for (norm, where), cells in groups.items():
        knows = where.filter == NO_FILTER or any(cell.threat == AWARE for cell in cells)
        if where.threat != AWARE or knows:
            yield {**where.columns, "norm": norm}, cells


def _count_gradient_free_only(fooled: list[Bools], families: list[str]) -> int | None:
    """Count what only gradient-free attacks fool; None unless there are such and others."""

    def by(chosen: Collection[str]) -> list[Bools]:
        return [one for one, family in zip(fooled, families, strict=True) if family in chosen]

    follow, free = by(GRADIENT_BASED), by([GRADIENT_FREE])
    if not follow or not free:
        return None
    return int((np.logical_or.reduce(free) & ~np.logical_or.reduce(follow)).sum())
