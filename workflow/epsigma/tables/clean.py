"""`clean.csv`: accuracy on clean images, through each filter."""

import pandas as pd

from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Scores


def score_clean(scores: Scores) -> pd.DataFrame:
    """Score the clean images.

    Returns:
        A row for each data set, model, seed, filter and strength: `n`, `n_correct`, and `accuracy`
        with its Wilson interval.
    """
    rows = [
        {
            "dataset": dataset,
            "model": model,
            "seed": seed,
            "filter": filter_name,
            "strength_name": strength.name,
            "strength": strength.value,
            "n": len(scored.fooled),
            "n_correct": int((~scored.fooled).sum()),
        }
        for (dataset, model, seed, filter_name, strength), scored in scores.clean.items()
    ]
    return add_rate(pd.DataFrame(rows), "accuracy", "n_correct")
