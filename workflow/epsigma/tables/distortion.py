"""`distortion.csv`: what attacks take that aim at classes, or keep their perturbation small."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.intervals import add_rate, count_independent
from epsigma.tables.scores import Columns, Scores

# Measures of a perturbation that are compared with the literature's.
MEASURES = ("l2", "changed")


def tabulate_distortion(scores: Scores) -> pd.DataFrame:
    """Tabulate the success and the distortion of attacks that aim, or minimise a norm.

    Returns:
        A row a cell: where it is; `targeted`; what `measure_distortion` returns; and `success`,
        n_reached / n, with its Wilson interval, of `n_independent` trials.
    """
    rows = [
        {
            **cell.columns,
            "targeted": scores.attacks[cell.attack].targeted,
            **measure_distortion(scores.ledger(cell)),
        }
        for cell in scores.cells
        if scores.attacks[cell.attack].has_distortion
    ]
    columns = [*CELL_COLUMNS, "targeted", "n", "n_independent", "n_reached", "n_worst"]
    columns += [f"{name}{of}" for name in MEASURES for of in ("", "_all", "_best", "_worst")]
    table = pd.DataFrame(rows, columns=columns)
    return add_rate(table, "success", "n_reached", independent=table["n_independent"])


def measure_distortion(columns: Columns) -> dict[str, Any]:
    """Condense the ledger of an attack that aims at classes, or that minimises a norm.

    Only rows of examples count that the model, unfiltered, gets right when clean.

    Returns:
        `n`, the rows, `n_independent`, as how many independent ones they count
        (`count_independent`), and `n_reached`, those that the model gives the class aimed at (of an
        untargeted attack, any wrong one); of `l2` and `changed` (the share of features) the mean
        over these, as `…_all` over all rows, as `…_best` over examples, each with the easiest
        class that was reached, and as `…_worst` over examples of which every class was reached,
        each with the hardest; `n_worst`, how many these are. A mean over nothing is NaN.
    """
    right = columns["correct_clean"]
    reached = columns.get("reached", ~columns["correct"])[right]
    index, inverse = np.unique(columns["index"][right], return_inverse=True)
    everywhere = np.ones(len(index), bool)
    np.logical_and.at(everywhere, inverse, reached)
    found: dict[str, Any] = {
        "n": len(reached),
        "n_independent": round(count_independent(reached, columns["index"][right]), 1),
        "n_reached": int(reached.sum()),
        "n_worst": int(everywhere.sum()),
    }
    for name in MEASURES:
        size = columns[name][right].astype(np.float64)
        best, worst = np.full(len(index), np.inf), np.zeros(len(index))
        np.minimum.at(best, inverse[reached], size[reached])
        np.maximum.at(worst, inverse, size)
        found |= {
            name: _mean(size[reached]),
            f"{name}_all": _mean(size),
            f"{name}_best": _mean(best[np.isfinite(best)]),
            f"{name}_worst": _mean(worst[everywhere]),
        }
    return found


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
