"""`smoothed.csv`: what is certified of the vote over noise, beside what ℓ2 attacks leave."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from epsigma.cell import Cell
from epsigma.proofs.smoothing import bound_draw
from epsigma.tables.intervals import add_rate, with_bounds
from epsigma.tables.scores import Bools, Columns, Defence, Scores, budget_of, defence_of
from epsigma.tables.seeds import Outcome, Outcomes

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

COLUMNS = [
    *("dataset", "model", "seed", "filter", "strength_name", "strength", "radius"),
    *("n", "n_certified", *with_bounds("certified"), "certified_draw"),
    *("threat", "attack", "n_attacked", "n_correct", *with_bounds("accuracy")),
    *("n_held", "n_fooled", "fooled_at_most", "p_value"),
]


def tabulate_smoothed(scores: Scores) -> pd.DataFrame:
    """Set certified accuracy over the radius beside the accuracy that ℓ2 attacks leave.

    The radii are 0 and the budgets of the study's ℓ2 attacks. Certified accuracy is of the vote
    over many draws, and accuracy under attack of one draw; `certified_draw` is what the
    certificates say of one draw.

    Returns:
        The columns `COLUMNS`: a row a defence, radius and cell of an ℓ2 attack of that budget, or
        one without an attack.

        - `n_certified` of `n`: the vote is right within the radius; abstentions are errors.
        - `certified_draw`: what the expected accuracy of one draw is at least, whatever is done
          within the radius. A mean of bounds; at 0 it is less than the accuracy on clean images.
        - `n_correct` of `n_attacked`: of the same images, those that the attack leaves.
        - `n_fooled` of `n_held`, those with a right vote; `fooled_at_most`, how many are expected
          at most, given how far each was moved; `p_value`, the probability of at least `n_fooled`
          if the certificates hold, at most. Empty without an attack.

        Intervals are Wilson's, 95 %.
    """
    rows = [
        {
            **_count_certified(defence, scores.smoothed[defence], radius),
            **(_hold_against(scores, cell, scores.smoothed[defence]) if cell else {}),
        }
        for defence, radius, cell in _find_rows(scores)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    counts = ["n", "n_certified", "n_attacked", "n_correct", "n_held", "n_fooled"]
    table = table.astype(dict.fromkeys(counts, "Int64"))
    add_rate(table, "certified", "n_certified")
    add_rate(table, "accuracy", "n_correct", "n_attacked")
    return table


def list_outcomes(scores: Scores) -> Outcomes:
    """List what became of the images, for `epsigma.tables.over_seeds`."""
    for defence, radius, cell in _find_rows(scores):
        votes = scores.smoothed[defence]
        columns = _name_row(defence, radius)
        if cell:
            columns |= {"threat": cell.threat, "attack": cell.attack}
            _, row, ledger = _match(scores, cell, votes)
            outcome = Outcome.of_images(ledger["index"][row], ledger["correct"][row])
            yield columns, "accuracy", outcome
        yield columns, "certified", Outcome.of_images(votes["index"], _certify(votes, radius))


def _find_rows(scores: Scores) -> Iterator[tuple[Defence, float, Cell | None]]:
    """List defences and radii, each with the cells of ℓ2 attacks of that budget, or with none."""
    attacked = [
        cell
        for cell in scores.cells
        if scores.attacks[cell.attack].norm == "l2" and cell.budget.name == "eps"
    ]
    radii = sorted({0.0, *map(budget_of, attacked)})
    for defence in scores.smoothed:
        for radius in radii:
            found: list[Cell | None] = [
                cell
                for cell in attacked
                if defence_of(cell) == defence and budget_of(cell) == radius
            ]
            for cell in found or [None]:
                yield defence, radius, cell


def _certify(votes: Columns, radius: float) -> Bools:
    """Mark the images of which the vote is right within the radius."""
    certified: Bools = votes["prediction"] == votes["label"]
    return certified & ~votes["abstained"] & (votes["radius"] > radius)


def _name_row(defence: Defence, radius: float) -> dict[str, Any]:
    dataset, model, seed, name, strength = defence
    return {
        "dataset": dataset,
        "model": model,
        "seed": seed,
        "filter": name,
        "strength_name": strength.name,
        "strength": strength.value,
        "radius": radius,
    }


def _count_certified(defence: Defence, votes: Columns, radius: float) -> dict[str, Any]:
    is_right = votes["prediction"] == votes["label"]
    return {
        **_name_row(defence, radius),
        "n": len(is_right),
        "n_certified": int(_certify(votes, radius).sum()),
        "certified_draw": float(np.mean(is_right * _bound(votes, radius))),
    }


def _bound(votes: Columns, distance: Any) -> Floats:
    """Bound, for each image, the probability of one draw at a distance; 0 without votes."""
    return np.nan_to_num(bound_draw(votes["lower"], distance, votes["std"]))


def _match(scores: Scores, cell: Cell, votes: Columns) -> tuple[Rows, Rows, Columns]:
    """Find the images that have votes and are attacked: their rows in both ledgers, and the cell's.

    A row each: of several targets of an image one draw is looked at.
    """
    ledger = scores.ledger(cell)
    index, first = np.unique(ledger["index"], return_index=True)
    _, at, row = np.intersect1d(votes["index"], index, return_indices=True)
    return at, first[row], ledger


def _hold_against(scores: Scores, cell: Cell, votes: Columns) -> dict[str, Any]:
    """Count what an attack leaves of the images that have votes, and whether that can be."""
    at, row, ledger = _match(scores, cell, votes)
    fooled, moved = ~ledger["correct"][row], ledger["l2"][row].astype(np.float64)
    of = {name: values[at] for name, values in votes.items()}
    held = of["prediction"] == of["label"]
    allowed = (1 - _bound(of, moved))[held]
    alpha = float(votes["alpha"][0]) if len(votes["alpha"]) else 0.0
    n_fooled = int(fooled[held].sum())
    return {
        "threat": cell.threat,
        "attack": cell.attack,
        "n_attacked": len(row),
        "n_correct": int((~fooled).sum()),
        "n_held": int(held.sum()),
        "n_fooled": n_fooled,
        "fooled_at_most": float(allowed.sum()),
        "p_value": bound_chance(n_fooled, allowed, alpha),
    }


def bound_chance(fooled: int, allowed: Floats, alpha: float) -> float:
    """Bound the probability that at least so many draws are fooled, if the certificates hold.

    Draws are independent, and each is fooled with a probability of at most `allowed` (N,) unless
    its certificate is wrong, which one is with a probability of at most α. So there are w wrong
    certificates, or `fooled` − w + 1 draws fooled in spite of right ones, whatever w is. The first
    is a binomial tail, and so is, at the mean of `allowed`, a bound of the second (Hoeffding 1956,
    Annals of Mathematical Statistics 27:713, theorem 4).
    """
    n = len(allowed)
    if not n or not fooled:
        return 1.0
    wrong = np.arange(1, fooled + 1)
    others, mean = fooled - wrong + 1, float(allowed.mean())
    # The bound is one only from a draw above the expectation on.
    in_spite = np.where(others >= n * mean + 1, binom.sf(others - 1, n, mean), 1.0)
    return float(min(1.0, (binom.sf(wrong - 1, n, alpha) + in_spite).min()))
