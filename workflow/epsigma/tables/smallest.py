"""`smallest.csv` and `fallen.csv`: the minimum budget of the grid that fools each example."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Bools, Scores, budget_of

CURVE = [name for name in CELL_COLUMNS if name != "budget"]


def tabulate_minimum_budgets(scores: Scores) -> pd.DataFrame:
    """Find the smallest budget of the grid at which each example is misclassified.

    Of attacks whose budget bounds the perturbation. An example that is right at every budget is
    censored. One that is wrong at the smallest may have been so below it.

    Returns:
        A row a curve (a cell without its budget, but for `budget_name`): `n`, `n_censored`,
        `largest` (budget), and `median` (the lower one; empty if more than half are censored).
    """
    rows = []
    for curve, budgets, fooled in _accumulate(scores):
        minimum = np.where(fooled, budgets[:, None], np.inf).min(0)
        # A budget of the grid, at which half of the examples or more are fooled.
        median = float(np.sort(minimum)[(len(minimum) - 1) // 2])
        rows.append(
            {
                **curve,
                "n": len(minimum),
                "n_censored": int(np.isinf(minimum).sum()),
                "largest": budgets[-1],
                "median": median if np.isfinite(median) else None,
            }
        )
    return pd.DataFrame(rows, columns=[*CURVE, "n", "n_censored", "largest", "median"])


def tabulate_fooled_shares(scores: Scores) -> pd.DataFrame:
    """Count the examples that some budget up to each of a curve's fools.

    Returns:
        A row a curve and `budget`: `n`, `n_fallen`, and `fallen`, the share of examples whose
        minimum budget is at most that, with its Wilson interval.
    """
    rows = [
        {**curve, "budget": budget, "n": len(row), "n_fallen": int(row.sum())}
        for curve, budgets, fooled in _accumulate(scores)
        for budget, row in zip(budgets, fooled, strict=True)
    ]
    table = pd.DataFrame(rows, columns=[*CURVE, "budget", "n", "n_fallen"])
    return add_rate(table, "fallen", "n_fallen")


def _accumulate(scores: Scores) -> Iterator[tuple[dict[str, Any], NDArray[np.float64], Bools]]:
    """Mark, curve by curve, which examples (B, N) some budget up to each (B,) fools."""
    for curve, cells in scores.curves().items():
        if scores.attacks[curve.attack].norm:
            columns = {**curve.columns, "budget_name": cells[0].budget.name}
            fooled = np.logical_or.accumulate([scores.cells[cell].fooled for cell in cells])
            yield columns, np.array([budget_of(cell) for cell in cells]), fooled
