"""`fooling.csv`: how many fooling images of each class the model accepts."""

from typing import Any

import numpy as np
import pandas as pd

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Columns, Scores


def tabulate_acceptance(scores: Scores) -> pd.DataFrame:
    """Tabulate how many fooling images of each class the model accepts.

    Returns:
        A row a cell and class: where it is; what `count_accepted` returns; `target_name`, if
        classes have names; and `accepted`, n_accepted / n, with its Wilson interval.
    """
    rows = [
        {**cell.columns, **found}
        for cell in scores.cells
        if scores.attacks[cell.attack].is_fooling
        for found in count_accepted(scores.ledger(cell))
    ]
    columns = [*CELL_COLUMNS, "target", "n", "n_accepted", "n_named", "confidence"]
    table = scores.add_class_names(pd.DataFrame(rows, columns=columns), "target")
    return add_rate(table, "accepted", "n_accepted")


def count_accepted(columns: Columns) -> list[dict[str, Any]]:
    """Count the fooling images of each class that the model accepts, from their ledger.

    Returns:
        A dict a class: `target`; `n` images; `n_accepted`, named as the target with the confidence
        that was asked for; `n_named`, named so with any; `confidence`, the median probability of
        the class that is named.
    """
    found = []
    for target in np.unique(columns["target"]):
        of_target = columns["target"] == target
        found.append(
            {
                "target": int(target),
                "n": int(of_target.sum()),
                "n_accepted": int((~columns["correct"][of_target]).sum()),
                "n_named": int(columns["reached"][of_target].sum()),
                "confidence": float(np.median(columns["probability"][of_target])),
            }
        )
    return found
