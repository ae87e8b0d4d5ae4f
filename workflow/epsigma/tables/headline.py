"""`headline.csv`: what each filter is worth at a strength that other images have chosen."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from epsigma.cell import CELL_COLUMNS
from epsigma.tables.brackets import add_brackets
from epsigma.tables.intervals import add_rate, with_bounds
from epsigma.tables.scores import Scores
from epsigma.tables.strengths import choose_strengths, count_parts
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

ATTACKED = ["dataset", "model", "attack", "budget_name", "budget"]
RATES = ("none", BLIND, AWARE, "clean_none", "clean")
DEFENCE = ["dataset", "model", "seed", "filter", "strength_name", "strength"]
COUNTS = ["n", "n_correct", "n_validation", "n_correct_validation"]
# Which images chose the strength, and what comes of choosing on those that score.
CHOICE = [
    *("n_validation", "accuracy_validation"),
    *("best_on_test_strength", "best_on_test", "optimism"),
]


def tabulate_headline(scores: Scores) -> pd.DataFrame:
    """Say what each filter is worth, blind and aware, and what it costs.

    Of each filter the strength is chosen by the validation images, see
    `epsigma.tables.strengths`. All rates but `accuracy_validation` are of the other test images.
    An image is right if no aim of the attack fools it.

    Returns:
        The cell, its seeds pooled, and `best_for`, the threat under which the strength is the best
        (the paper chooses by `blind`); `n`, and with Wilson intervals `none` (accuracy without a
        filter), `blind`, `aware`, `clean_none` and `clean` (on clean images, without and through
        the filter), and `clean_cost`, their difference; empty where there is no such cell. How many
        images chose, `n_validation`, and the `accuracy_validation` that they chose by. The strength
        that is best on the images that score, `best_on_test_strength`, the accuracy that it would
        have been reported with, `best_on_test`, and `optimism`, by how much that is above the
        accuracy at the strength that was chosen. With proofs, the brackets of `add_brackets`.
    """
    cells, clean = _count_attacked(scores), _count_clean(scores)
    rows = []
    for where, attacked in cells.groupby(ATTACKED, dropna=False, sort=False):
        identity = dict(zip(ATTACKED, where, strict=True))
        unattacked = clean
        for name in ("dataset", "model"):
            unattacked = unattacked[unattacked[name] == identity[name]]
        rows += [{**identity, **best} for best in _find_best(attacked, unattacked)]
    columns = [*ATTACKED, "filter", "best_for", "strength_name", "strength", "n"]
    columns += [*with_bounds(*RATES), "clean_cost", *CHOICE]
    table = pd.DataFrame(rows, columns=columns)
    table["clean_cost"] = table["clean_none"] - table["clean"]
    return add_brackets(table, scores.table)


def _find_best(attacked: pd.DataFrame, clean: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Find the best strength of each filter against an attack at a budget, under each threat."""
    bare = attacked["filter"] == NO_FILTER
    for name, filtered in attacked[~bare].groupby("filter", sort=False):
        best_on_test = choose_strengths(filtered, "accuracy", ["threat"]).set_index("threat")
        for _, best in choose_strengths(filtered, "accuracy_validation", ["threat"]).iterrows():
            here = filtered[_equal(filtered["strength"], best["strength"])]
            rates = {
                "none": attacked[bare],
                BLIND: here[here["threat"] == BLIND],
                AWARE: here[here["threat"] == AWARE],
                "clean_none": clean[clean["filter"] == NO_FILTER],
                "clean": clean[
                    (clean["filter"] == name) & _equal(clean["strength"], best["strength"])
                ],
            }
            old = best_on_test.loc[best["threat"]]
            yield {
                "filter": name,
                "best_for": best["threat"],
                **{column: best[column] for column in ("strength_name", "strength", "n")},
                **{
                    name: cell[of].iloc[0]
                    for rate, cell in rates.items()
                    if len(cell)
                    for name, of in zip(with_bounds(rate), with_bounds("accuracy"), strict=True)
                },
                **{column: best[column] for column in ("n_validation", "accuracy_validation")},
                "best_on_test_strength": old["strength"],
                "best_on_test": old["accuracy"],
                "optimism": old["accuracy"] - best["accuracy"],
            }


def _count_attacked(scores: Scores) -> pd.DataFrame:
    """Count the examples of all cells; fooling images are of no class: they have no accuracy."""
    rows = [
        {**cell.columns, **count_parts(scored)}
        for cell, scored in scores.cells.items()
        if not scores.attacks[cell.attack].is_fooling
    ]
    table = pd.DataFrame(rows, columns=[*CELL_COLUMNS, *COUNTS])
    return _pool_seeds(table, ["threat", "attack", "budget_name", "budget"])


def _count_clean(scores: Scores) -> pd.DataFrame:
    """Count the clean images, through each filter."""
    rows = [
        {
            **{"dataset": dataset, "model": model, "seed": seed, "filter": name},
            **{"strength_name": strength.name, "strength": strength.value},
            **count_parts(scored),
        }
        for (dataset, model, seed, name, strength), scored in scores.clean.items()
    ]
    return _pool_seeds(pd.DataFrame(rows, columns=[*DEFENCE, *COUNTS]), [])


def _pool_seeds(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Add up the seeds of cells, and make rates of the sums, with Wilson intervals on the test."""
    keys = ["dataset", "model", *names, "filter", "strength_name", "strength"]
    sums = table.groupby(keys, dropna=False, sort=False)[COUNTS].sum().reset_index()
    chosen_by = sums["n_validation"].replace(0, np.nan)
    sums["accuracy_validation"] = sums["n_correct_validation"] / chosen_by
    return add_rate(sums, "accuracy", "n_correct")


def _equal(values: pd.Series, value: float) -> pd.Series:
    """Compare, with no value equal to no value."""
    return values.isna() if pd.isna(value) else values == value
