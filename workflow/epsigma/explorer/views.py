"""What the explorer shows beside the cells: worst cases over attacks, and means over seeds."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.strengths import keep_most_attacked
from epsigma.vocabulary import BLIND, NO_FILTER

# Family of what stands for all attacks of a norm.
WORST_CASE = "worst_case"
# In place of a seed.
MEAN = "mean"
RATE = ["accuracy", "accuracy_low", "accuracy_high"]
# What tells one curve of worst cases over the strength from another.
_CURVE = ["dataset", "model", "seed", "threat", "norm", "budget", "filter"]


def add_views(
    cells: pd.DataFrame, worst_case: pd.DataFrame, seeds: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Add to the cells what is condensed from them, as if it were cells.

    Args:
        cells: `cells.csv`.
        worst_case: `worst_case.csv`; of norms that several attacks have, and of each filter the
            strengths that as many attacks met as any other.
        seeds: `seeds.csv`.

    Returns:
        The cells, and after them rows with a name for all attacks of a norm as `attack`, and rows
        with `MEAN` as `seed`; by such a name the `family` and the `norm` of the attack.
    """
    several = worst_case.groupby("norm")["attacks"].max() > 1
    attacks = {name_worst_case(norm): norm for norm in several[several].index}
    # Without a filter there is nothing to know: cells.csv has these as blind.
    fair = keep_most_attacked(worst_case, "attacks", _CURVE)
    worst = _name_attacks(fair, attacks)
    shared = [*(name for name in _CURVE if name != "seed"), "strength"]
    of_worst = seeds[seeds["table"] == WORST_CASE].merge(fair[shared].drop_duplicates(), on=shared)
    means = [
        seeds[(seeds["table"] == "cells") & (seeds["rate"] == "accuracy")],
        _name_attacks(of_worst, attacks),
    ]
    pooled = pd.concat(means).rename(
        columns={"mean": "accuracy", "low": "accuracy_low", "high": "accuracy_high"}
    )
    pooled = pooled.assign(seed=MEAN)[[*CELL_COLUMNS, "n", *RATE]]
    worst = worst[[*CELL_COLUMNS, "n", "n_correct", *RATE]]
    parts = [part for part in (cells.astype({"seed": object}), worst, pooled) if len(part)]
    about = {name: {"family": WORST_CASE, "norm": norm} for name, norm in attacks.items()}
    return (pd.concat(parts, ignore_index=True) if parts else cells), about


def name_worst_case(norm: str) -> str:
    """Name what stands for all attacks of a norm: as no attack can be named."""
    return f"worst case, {norm}"


def _name_attacks(table: pd.DataFrame, attacks: Mapping[str, str]) -> pd.DataFrame:
    """Give the rows of some norms the name of all their attacks."""
    kept = table["norm"].isin(attacks.values())
    kept &= (table["filter"] != NO_FILTER) | (table["threat"] == BLIND)
    rows = table[kept]
    return rows.assign(attack=[name_worst_case(norm) for norm in rows["norm"]])
