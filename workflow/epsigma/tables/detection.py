"""`detection.csv`: what a defence with detectors rejects, corrects, and lets pass."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.intervals import add_rate, count_independent
from epsigma.tables.scores import Columns, Scores

# What becomes of attacked images, and what the parts of a defence keep of them.
OUTCOMES = (
    *("detected", "corrected", "unharmed", "through"),
    *("detector_alone", "filter_alone", "both"),
)


def tabulate_detection(scores: Scores) -> pd.DataFrame:
    """Tabulate what becomes of attacked images where there are detectors.

    Returns:
        A row a cell with detectors: where it is, and of its n rows the counts `n_…`, see
        `find_outcomes`, and shares with their Wilson intervals, of `count_independent` trials:
        `detected`, `corrected`, `unharmed` and `through`, which add up to 1; and `detector_alone`,
        `filter_alone` and `both`, what the parts keep.
    """
    rows, trials = [], []
    for cell in scores.cells_with_detectors():
        columns = scores.ledger(cell)
        found = find_outcomes(columns)
        counts = {f"n_{outcome}": int(those.sum()) for outcome, those in found.items()}
        rows.append({**cell.columns, "n": len(columns["index"]), **counts})
        trials.append(
            {name: count_independent(those, columns["index"]) for name, those in found.items()}
        )
    names = [*CELL_COLUMNS, "n", *(f"n_{outcome}" for outcome in OUTCOMES)]
    table, independent = pd.DataFrame(rows, columns=names), pd.DataFrame(trials, columns=OUTCOMES)
    for outcome in OUTCOMES:
        add_rate(table, outcome, f"n_{outcome}", independent=independent[outcome])
    return table


def find_outcomes(columns: Columns) -> dict[str, NDArray[np.bool_]]:
    """Find what becomes of the rows of an attacked set, the ledger of a cell with detectors.

    Returns:
        (N,) each, by outcome. Every row is either `detected`, rejected; or else `corrected`, right,
        where the classifier alone is wrong; `unharmed`, right, and the classifier alone is, too;
        or `through`, wrong. And what the parts would keep alone: `detector_alone`, rejected or
        right without the filter; `filter_alone`, right through the filter, whatever the detectors
        say; `both`, rejected or right through the filter. An image that the attack left as it was
        is kept only if it is not rejected.
    """
    rejected = columns["rejected"]
    stopped = rejected & (columns["linf"] != 0)
    right, bare = columns["prediction"] == columns["label"], columns["correct_bare"]
    return {
        "detected": rejected,
        "corrected": ~rejected & right & ~bare,
        "unharmed": ~rejected & right & bare,
        "through": ~rejected & ~right,
        "detector_alone": stopped | bare & ~rejected,
        "filter_alone": right,
        "both": stopped | right & ~rejected,
    }
