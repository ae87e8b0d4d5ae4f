"""`classes.csv`: each cell, class by class."""

import numpy as np
import pandas as pd

from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Scores


def score_classes(scores: Scores) -> pd.DataFrame:
    """Score each cell class by class.

    Returns:
        The cell; `label`, `n`, `n_correct`, `accuracy` and its Wilson interval (`accuracy_low`,
        `accuracy_high`).
    """
    rows = [
        {
            **cell.columns,
            "label": label,
            "n": n,
            "n_correct": int((~scored.fooled[scored.label == label]).sum()),
        }
        for cell, scored in scores.cells.items()
        for label, n in zip(*np.unique(scored.label, return_counts=True), strict=True)
    ]
    return add_rate(pd.DataFrame(rows), "accuracy", "n_correct")
