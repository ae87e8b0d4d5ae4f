"""`detection.csv`: what a defence with detectors rejects, corrects, and lets pass."""

import pandas as pd

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.intervals import add_rate
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
        `count_outcomes`, and shares with their Wilson intervals: `detected`, `corrected`,
        `unharmed` and `through`, which add up to 1; and `detector_alone`, `filter_alone` and
        `both`, what the parts keep.
    """
    rows = [
        {**cell.columns, **count_outcomes(scores.ledger(cell))}
        for cell in scores.cells_with_detectors()
    ]
    counts = [f"n_{outcome}" for outcome in OUTCOMES]
    table = pd.DataFrame(rows, columns=[*CELL_COLUMNS, "n", *counts])
    for outcome, count in zip(OUTCOMES, counts, strict=True):
        add_rate(table, outcome, count)
    return table


def count_outcomes(columns: Columns) -> dict[str, int]:
    """Count what becomes of the rows of an attacked set, the ledger of a cell with detectors.

    Returns:
        `n` rows. Each of them is either `n_detected`, rejected; or else `n_corrected`, right,
        where the classifier alone is wrong; `n_unharmed`, right, and the classifier alone is, too;
        or `n_through`, wrong. And what the parts would keep alone: `n_detector_alone`, rejected or
        right without the filter; `n_filter_alone`, right through the filter, whatever the detectors
        say; `n_both`, rejected or right through the filter. An image that the attack left as it was
        is kept only if it is not rejected.
    """
    rejected = columns["rejected"]
    stopped = rejected & (columns["linf"] != 0)
    right, bare = columns["prediction"] == columns["label"], columns["correct_bare"]
    return {
        "n": len(right),
        "n_detected": int(rejected.sum()),
        "n_corrected": int((~rejected & right & ~bare).sum()),
        "n_unharmed": int((~rejected & right & bare).sum()),
        "n_through": int((~rejected & ~right).sum()),
        "n_detector_alone": int((stopped | bare & ~rejected).sum()),
        "n_filter_alone": int(right.sum()),
        "n_both": int((stopped | right & ~rejected).sum()),
    }
