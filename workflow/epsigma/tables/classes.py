"""`classes.csv` and `clean.csv`: accuracy class by class, and on clean images."""

import numpy as np
import pandas as pd

from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Scores


def score_classes(scores: Scores) -> pd.DataFrame:
    """Score each cell class by class.

    Returns:
        The cell; `label` and, if classes have names, `label_name`; `n`, `n_correct`, `accuracy` and
        its Wilson interval (`accuracy_low`, `accuracy_high`).
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
    table = scores.add_class_names(pd.DataFrame(rows), "label")
    return add_rate(table, "accuracy", "n_correct")


def score_clean(scores: Scores) -> pd.DataFrame:
    """Score the clean images.

    Returns:
        A row for each data set, model, seed, filter and strength: `n`, `n_correct`, and `accuracy`
        with its Wilson interval.
    """
    rows = [
        {
            **dict(zip(("dataset", "model", "seed", "filter"), names, strict=True)),
            **{"strength_name": strength.name, "strength": strength.value},
            "n": len(scored.fooled),
            "n_correct": int((~scored.fooled).sum()),
        }
        for (*names, strength), scored in scores.clean.items()
    ]
    return add_rate(pd.DataFrame(rows), "accuracy", "n_correct")
