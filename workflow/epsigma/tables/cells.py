"""The table of cells."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from epsigma.tables.intervals import wilson

COLUMNS = [
    "dataset",
    "model",
    "seed",
    "threat",
    "attack",
    "budget_name",
    "budget",
    "filter",
    "strength_name",
    "strength",
    "n",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "n_correct_clean",
    "attack_success",
    "attack_success_low",
    "attack_success_high",
    "linf",
    "l2",
    "l0",
    "linf_max",
    "l2_max",
    "outside_max",
    "changed_max",
    "confidence",
]


# What follows them where the study asks for it: with 8 bits a value, and where detectors look on.
RATES = (
    ("accuracy_8bit", "n_correct_8bit", "n"),
    ("attack_success_8bit", "n_fooled_8bit", "n_correct_clean"),
    ("rejected", "n_rejected", "n"),
)


def tabulate_cells(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Put cells' figures into a table, with intervals on every rate.

    Args:
        rows: as `epsigma.stages.evaluate.evaluate` writes them.

    Returns:
        The columns `COLUMNS`, and those of `RATES` of which a cell has the count. Intervals are
        Wilson's (1927), 95 %, and empty where the rate is.
    """
    cells = pd.DataFrame(rows)
    more = [(rate, count, n) for rate, count, n in RATES if count in cells]
    for rate, count, n in more:
        cells[rate] = cells[count] / cells[n].where(cells[n] > 0)
    for rate, count, n in (
        ("accuracy", "n_correct", "n"),
        ("attack_success", "n_fooled", "n_correct_clean"),
        *more,
    ):
        # Of no trials there is no rate: 0 of 1, then blanked.
        trials = cells[n].clip(lower=1)
        bounds = wilson(cells[count].astype(float), trials)
        for bound, values in zip(("low", "high"), bounds, strict=True):
            cells[f"{rate}_{bound}"] = pd.Series(values, cells.index).where(cells[n] > 0)
    names = [f"{rate}{bound}" for rate, _, _ in more for bound in ("", "_low", "_high")]
    return cells[[*COLUMNS, *names]]
