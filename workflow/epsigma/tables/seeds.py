"""Rates over seeds: mean, standard deviation, and an interval clustered by image.

The seeds of a study are scored on the same test images, so their predictions are not independent
trials: an image that fools one of them often fools the others. The images are the independent
units, and all predictions of an image are one cluster.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.tables.intervals import wilson

Bools = NDArray[np.bool_]
# What a rate is of. A table has some of these columns.
KEYS = [
    *("dataset", "model", "threat", "attack", "norm", "budget_name", "budget", "radius"),
    *("filter", "strength_name", "strength"),
]
COLUMNS = ["table", "rate", *KEYS, "seeds", "n", "mean", "std", "low", "high"]


@dataclass(frozen=True)
class Outcome:
    """What became of the images of one seed.

    Args:
        index: (N,), which of the test set's they are, ascending.
        successes: (N,), of each image how many of its trials count for the rate.
        trials: (N,), how many there are: one, or none that counts.
    """

    index: NDArray[np.int32]
    successes: NDArray[np.int64]
    trials: NDArray[np.int64]

    @classmethod
    def of_images(cls, index: NDArray[np.int32], is_success: Bools) -> "Outcome":
        """Count one trial an image."""
        return cls(index, is_success.astype(np.int64), np.ones(len(index), np.int64))


# Rates of a table: the columns that say what it is of, its seed too; the name of the rate;
# and what became of the images.
Outcomes = Iterator[tuple[dict[str, Any], str, Outcome]]


@dataclass(frozen=True)
class PooledRate:
    """A rate over seeds, in [0, 1]; NaN where there is nothing to compute it from.

    Args:
        n: images that count in some seed.
        mean: over the seeds, of the rate of each.
        std: the standard deviation over the seeds (n - 1 in the denominator).
        low: lower bound of the interval of the mean, 95 %.
        high: upper bound.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float

    def columns(self, rate: str) -> dict[str, Any]:
        """Name the rate and its bounds, as `epsigma.tables.intervals.with_bounds` does."""
        return {rate: self.mean, f"{rate}_low": self.low, f"{rate}_high": self.high}


def pool_seeds(outcomes: Sequence[Outcome]) -> PooledRate:
    """Pool the outcomes of seeds on the same images.

    The interval is Wilson's with the effective sample size: the number of independent trials that
    would have the variance which the mean has between images. That variance is the linearised one
    of clusters; the effective size is the number of trials by the design effect (Kish 1965, Survey
    Sampling, section 8.2; Wilson's with it: Franco, Little, Louis & Slud 2019, Journal of Survey
    Statistics and Methodology 7:334). It is held between the number of images (all seeds agree) and
    that of trials (they have nothing in common). Where the mean is 0 or 1 no variance is seen, and
    the images alone count. Of one seed and a trial an image it is Wilson's interval.

    The interval is about chance in the images, with these seeds. How far another seed may be from
    their mean is what the standard deviation says.
    """
    successes, trials = _align(outcomes)
    is_known = trials.any(1)
    successes, trials = successes[is_known], trials[is_known]
    n = int(trials.any(0).sum())
    if not n:
        return PooledRate(0, *[float("nan")] * 4)
    totals = trials.sum(1)
    rates = successes.sum(1) / totals
    # Of seeds with as many trials this is their mean, and equal rates are equal numbers.
    is_balanced = (totals == totals[0]).all()
    mean = float(successes.sum() / totals.sum() if is_balanced else rates.mean())
    size = _find_effective_size(successes, trials, mean)
    low, high = wilson(mean * size, size)
    std = float(rates.std(ddof=1)) if len(rates) > 1 else float("nan")
    return PooledRate(n, mean, std, float(low), float(high))


def _align(outcomes: Sequence[Outcome]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Set the successes and the trials of each seed side by side, (S, N), of all images of any."""
    first = outcomes[0].index
    if all(np.array_equal(one.index, first) for one in outcomes):  # as a rule
        counts = [[one.successes, one.trials] for one in outcomes]
        successes, trials = np.array(counts, np.float64).transpose(1, 0, 2)
        return successes, trials
    index = np.unique(np.concatenate([one.index for one in outcomes]))
    successes, trials = np.zeros((2, len(outcomes), len(index)))
    for seed, one in enumerate(outcomes):
        at = np.searchsorted(index, one.index)
        successes[seed, at], trials[seed, at] = one.successes, one.trials
    return successes, trials


def _find_effective_size(
    successes: NDArray[np.float64], trials: NDArray[np.float64], mean: float
) -> float:
    """Find the effective sample size of outcomes (S, N), see `pool_seeds`."""
    fewest, most = float((trials > 0).sum(1).min()), float(trials.sum())
    totals = trials.sum(1, keepdims=True)
    rates = successes.sum(1, keepdims=True) / totals
    influence = ((successes - rates * trials) / totals).mean(0)
    n = int(trials.any(0).sum())
    variance = float((influence**2).sum()) * n / max(n - 1, 1)
    spread = mean * (1 - mean)
    if not spread:
        return fewest
    return min(max(spread / variance, fewest), most) if variance else most


def add_intervals(rows: pd.DataFrame, table: str, seeds: pd.DataFrame) -> pd.DataFrame:
    """Add to the rows of a table, a row a seed, the intervals of the means over the seeds.

    Args:
        rows: of the table.
        table: its name.
        seeds: `seeds.csv`.

    Returns:
        The rows with, of each rate of `seeds`, `…_seeds_low` and `…_seeds_high`.
    """
    of_table = seeds[seeds["table"] == table]
    known = {key_of(row): row for row in _list_rows(of_table)}
    about = _list_rows(rows)
    added = {}
    for rate in of_table["rate"].unique():
        keys = [key_of({**row, "table": table, "rate": rate}) for row in about]
        for bound in ("low", "high"):
            values = [known[key][bound] if key in known else np.nan for key in keys]
            added[f"{rate}_seeds_{bound}"] = values
    return rows.assign(**added)


def _list_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def key_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what a row is of; numbers as tables have them, and nothing for no value."""
    values = (row.get(name) for name in ("table", "rate", *KEYS))
    return tuple(
        "" if pd.isna(value) else value if isinstance(value, str) else f"{value:.12g}"
        for value in values
    )
