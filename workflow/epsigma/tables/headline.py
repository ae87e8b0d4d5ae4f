"""`headline.csv`: what each filter is worth at its best strength."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from epsigma.tables.brackets import add_brackets
from epsigma.tables.classes import score_clean
from epsigma.tables.intervals import add_rate, with_bounds
from epsigma.tables.scores import Scores
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

ATTACKED = ["dataset", "model", "attack", "budget_name", "budget"]
RATES = ("none", BLIND, AWARE, "clean_none", "clean")


def tabulate_headline(scores: Scores) -> pd.DataFrame:
    """Say what each filter is worth at its best strength, blind and aware, and what it costs.

    Returns:
        The cell, its seeds pooled, and `best_for`, the threat under which the strength is the best
        (the paper chooses by `blind`); `n`, and with Wilson intervals `none` (accuracy without a
        filter), `blind`, `aware`, `clean_none` and `clean` (on clean images, without and through
        the filter), and `clean_cost`, their difference; empty where there is no such cell.
        With proofs, the brackets of `add_brackets`.
    """
    # Fooling images are of no class: what a filter keeps is no accuracy.
    are_fooling = scores.table["attack"].map(lambda name: scores.attacks[name].is_fooling)
    cells = _pool_seeds(
        scores.table[~are_fooling.astype(bool)], ["threat", "attack", "budget_name", "budget"]
    )
    clean = _pool_seeds(score_clean(scores), [])
    rows = []
    for where, attacked in cells.groupby(ATTACKED, dropna=False, sort=False):
        identity = dict(zip(ATTACKED, where, strict=True))
        unattacked = clean
        for name in ("dataset", "model"):
            unattacked = unattacked[unattacked[name] == identity[name]]
        rows += [{**identity, **best} for best in _find_best(attacked, unattacked)]
    columns = [*ATTACKED, "filter", "best_for", "strength_name", "strength", "n"]
    table = pd.DataFrame(rows, columns=[*columns, *with_bounds(*RATES)])
    table["clean_cost"] = table["clean_none"] - table["clean"]
    return add_brackets(table, scores.table)


def _find_best(attacked: pd.DataFrame, clean: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Find the best strength of each filter against an attack at a budget, under each threat."""
    bare = attacked["filter"] == NO_FILTER
    for name, filtered in attacked[~bare].groupby("filter", sort=False):
        for threat, cells in filtered.groupby("threat", sort=False):
            best = cells.iloc[int(cells["accuracy"].to_numpy().argmax())]
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
            yield {
                "filter": name,
                "best_for": threat,
                **{column: best[column] for column in ("strength_name", "strength", "n")},
                **{
                    name: cell[of].iloc[0]
                    for rate, cell in rates.items()
                    if len(cell)
                    for name, of in zip(with_bounds(rate), with_bounds("accuracy"), strict=True)
                },
            }


def _pool_seeds(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Add up the seeds of cells, and make rates with Wilson intervals of the sums."""
    keys = ["dataset", "model", *names, "filter", "strength_name", "strength"]
    sums = table.groupby(keys, dropna=False, sort=False)[["n", "n_correct"]].sum()
    return add_rate(sums.reset_index(), "accuracy", "n_correct")


def _equal(values: pd.Series, value: float) -> pd.Series:
    """Compare, with no value equal to no value."""
    return values.isna() if pd.isna(value) else values == value
