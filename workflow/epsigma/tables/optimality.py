"""`optimality.csv`: how close each attack comes to the best of all attacks, at any budget."""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from epsigma.tables.scores import Scores, defence_of
from epsigma.tables.smallest import CURVE, Curve, Floats, list_curves

COLUMNS = [*CURVE, "norm", "n", "attacks", "largest", "optimality"]


def tabulate_optimality(scores: Scores) -> pd.DataFrame:
    """Compare each attack with the best of all attacks of a norm, example by example.

    The optimality of an attack is the area between the clean accuracy and its accuracy over ε,
    as a share of the area for the best attack: 1 if it fools every example at the smallest ε that
    any attack does. The areas end where the best attack fools the last example that it fools at
    all. Examples that not all attacks were run on, and those that are wrong when clean, count for
    nothing. An attack at the ε of the grid is judged by these: it gains nothing below the smallest,
    and at one ε above 0 there is nothing to judge.

    Returns:
        A row a curve (a cell without its budget, but for `budget_name`) that has a norm: `norm`;
        `n`, examples that are right when clean and that all attacks were run on; `attacks`, how
        many there are, and `largest`, the ε at which the areas end; and `optimality`, in [0, 1],
        empty if there is one attack, or this has one ε, or none fools anything at a distance.

    Source: Cinà et al. 2024 (AttackBench, arXiv:2404.19460), local optimality.
    """
    groups: dict[tuple[Any, ...], list[Curve]] = {}
    for curve in list_curves(scores):
        where = defence_of(curve.cell), curve.cell.threat, curve.columns["norm"]
        groups.setdefault(where, []).append(curve)
    rows = [row for group in groups.values() for row in _compare(scores, group)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _compare(scores: Scores, curves: Sequence[Curve]) -> Iterator[dict[str, Any]]:
    """Compare the curves of a norm, of the same defended model, with the best of them."""
    index = reduce(np.intersect1d, [curve.index for curve in curves])
    clean = scores.clean.get(defence_of(curves[0].cell))
    if clean is not None:
        index = np.setdiff1d(index, clean.index[clean.fooled])
    distances = [curve.minimum[np.isin(curve.index, index)] for curve in curves]
    best = np.minimum.reduce(distances)
    largest = float(best[np.isfinite(best)].max(initial=0))
    most = _area(best, largest)
    for curve, distance in zip(curves, distances, strict=True):
        is_judged = most and len(curves) > 1 and (curve.budgets > 0).sum() != 1
        yield {
            **curve.columns,
            "n": len(index),
            "attacks": len(curves),
            "largest": largest,
            "optimality": _area(distance, largest) / most if is_judged else None,
        }


def _area(distance: Floats, largest: float) -> float:
    """Integrate the share that is fooled up to each ε from 0 to `largest`, times the examples."""
    return float((largest - np.minimum(distance, largest)).sum())
