"""`smallest.csv` and `fallen.csv`: the minimum budget that fools each example."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import CELL_COLUMNS, Cell
from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Bools, Scores, budget_of, defence_of
from epsigma.tables.seeds import Outcome, Outcomes
from epsigma.vocabulary import EPS_NORMS

CURVE = [name for name in CELL_COLUMNS if name != "budget"]
EPS = "eps"
# Into how many parts the distances of a minimum-norm attack are divided.
PARTS = 100
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The minimum budgets of a curve.

    Args:
        cell: its cells without their budget.
        columns: of the cell, and the `norm` of budgets.
        index: (N,), which examples of the test set they are of.
        minimum: (N,), of each example; infinite if it is censored.
        budgets: (B,), ascending, at which the shares are told; the last is the largest.
        fooled: (B, N), which examples some budget up to each fools.
    """

    cell: Cell
    columns: dict[str, Any]
    index: NDArray[np.int32]
    minimum: Floats
    budgets: Floats
    fooled: Bools


def tabulate_minimum_budgets(scores: Scores) -> pd.DataFrame:
    """Find the smallest budget at which each example is misclassified.

    Of attacks whose budget bounds the perturbation it is one of the grid: an example that is wrong
    at the smallest may have been so below it. Of attacks that minimise the ℓ∞ or ℓ2 norm it is the
    distance of the nearest example found, whatever the grid, and 0 where the defended model is
    wrong when clean; of several margins κ or bounds ε the nearest counts. An example that is right
    at every budget is censored.

    Returns:
        A row a curve (a cell without its budget, but for `budget_name`): `norm`, what the budget
        bounds; `n`, `n_censored`, `largest` (budget; of distances the attack's largest behind all
        filters), and `median` (the lower one; empty if more than half are censored).
    """
    rows = []
    for curve in list_curves(scores):
        n = len(curve.minimum)
        # A budget at which half of the examples or more are fooled.
        median = float(np.sort(curve.minimum)[(n - 1) // 2])
        rows.append(
            {
                **curve.columns,
                "n": n,
                "n_censored": int(np.isinf(curve.minimum).sum()),
                "largest": curve.budgets[-1],
                "median": median if np.isfinite(median) else None,
            }
        )
    return pd.DataFrame(rows, columns=[*CURVE, "norm", "n", "n_censored", "largest", "median"])


def tabulate_fooled_shares(scores: Scores) -> pd.DataFrame:
    """Count the examples that some budget up to each of a curve's fools.

    The budgets are those of the grid; of an attack that minimises a norm they divide its distances,
    behind all filters, into 100 equal parts.

    Returns:
        A row a curve and `budget`: `norm`, `n`, `n_fallen`, and `fallen`, the share of examples
        whose minimum budget is at most that, with its Wilson interval.
    """
    rows = [
        {**curve.columns, "budget": budget, "n": len(row), "n_fallen": int(row.sum())}
        for curve in list_curves(scores)
        for budget, row in zip(curve.budgets, curve.fooled, strict=True)
    ]
    table = pd.DataFrame(rows, columns=[*CURVE, "norm", "budget", "n", "n_fallen"])
    return add_rate(table, "fallen", "n_fallen")


def list_outcomes(scores: Scores) -> Outcomes:
    """List what became of the images of `fallen.csv`, for `epsigma.tables.over_seeds`."""
    for curve in list_curves(scores):
        for budget, row in zip(curve.budgets, curve.fooled, strict=True):
            outcome = Outcome.of_images(curve.index, row)
            yield {**curve.columns, "budget": budget}, "fallen", outcome


def list_curves(scores: Scores) -> Iterator[Curve]:
    """List the curves, in the order of the study."""
    minima, largest = _measure_distances(scores)
    for curve, cells in scores.curves().items():
        attack, index = scores.attacks[curve.attack], scores.cells[cells[0]].index
        if curve in minima:
            columns = {**curve.columns, "budget_name": EPS, "norm": attack.minimises}
            minimum = minima[curve]
            # The same for all of an attack, so that its seeds can be averaged.
            budgets = np.unique(np.linspace(0, largest[curve.attack], PARTS + 1))
            yield Curve(curve, columns, index, minimum, budgets, minimum <= budgets[:, None])
        elif attack.norm:
            columns = {**curve.columns, "budget_name": cells[0].budget.name, "norm": attack.norm}
            fooled = np.logical_or.accumulate([scores.cells[cell].fooled for cell in cells])
            budgets = np.array([budget_of(cell) for cell in cells])
            minimum = np.where(fooled, budgets[:, None], np.inf).min(0)
            yield Curve(curve, columns, index, minimum, budgets, fooled)


def _measure_distances(scores: Scores) -> tuple[dict[Cell, Floats], dict[str, float]]:
    """Measure the distances of attacks that minimise a norm: (N,) a curve, and their largest."""
    minima = {
        curve: np.minimum.reduce([_measure_cell(scores, cell, minimises) for cell in cells])
        for curve, cells in scores.curves().items()
        if (minimises := scores.attacks[curve.attack].minimises) in EPS_NORMS
    }
    largest: dict[str, float] = {}
    for curve, minimum in minima.items():
        most = float(minimum[np.isfinite(minimum)].max(initial=0))
        largest[curve.attack] = max(largest.get(curve.attack, 0), most)
    return minima, largest


def _measure_cell(scores: Scores, cell: Cell, norm: str) -> Floats:
    """Measure each example's nearest success, of whatever target: (N,), infinite if there is none.

    An example that is wrong when clean needs none.
    """
    columns = scores.ledger(cell)
    index, row = np.unique(columns["index"], return_inverse=True)
    nearest = np.full(len(index), np.inf)
    fooled = ~columns["correct"]
    np.minimum.at(nearest, row[fooled], columns[norm][fooled].astype(np.float64))
    clean = scores.clean.get(defence_of(cell))
    if clean is not None:
        nearest[np.isin(index, clean.index[clean.fooled])] = 0
    return nearest
