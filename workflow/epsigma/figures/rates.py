"""Lines of rates, with their intervals and doubts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from epsigma.figures import style
from epsigma.figures.looks import sequence

# Of the interval of a single point over several seeds.
BROAD = 6
# Points of a line with a bar of their own, and with a mark of doubt, at most: of more every so
# many has one.
MOST_BARS, MOST_MARKS = 30, 10


def condense_seeds(cells: pd.DataFrame, rate: str, level: str) -> pd.DataFrame:
    """Condense rows that differ in seed and `level` only: the mean rate of each, and its band.

    Returns:
        `rate`, `low`, `high`, `std`, `in_doubt` by level (`budget` or `strength`), in its order.
        The band is the Wilson interval of a single seed; of several the interval of their mean,
        clustered by image (`epsigma.tables.seeds`). `std` is the standard deviation over them.
    """
    groups = cells.groupby(level, sort=True)
    several = cells["seed"].nunique() > 1
    of_seeds = "_seeds" if several else ""
    rates = pd.DataFrame(
        {
            "rate": groups[rate].mean(),
            "low": groups[f"{rate}{of_seeds}_low"].min(),
            "high": groups[f"{rate}{of_seeds}_high"].max(),
            "std": groups[rate].std(),
            "in_doubt": groups["in_doubt"].any(),
        }
    )
    rates.attrs["several"] = several
    return rates


def name_seeds(rows: pd.DataFrame) -> str:
    """Say in a line below a title of how many seeds rates are means; nothing of one seed."""
    seeds = rows["seed"].nunique()
    return f"\nmean over {seeds} seeds, 95 % intervals clustered by image" if seeds > 1 else ""


def split_by_strength(
    cells: pd.DataFrame, color: Any, threat: str
) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """Split the rows of a filter, whose colour is given, by strength.

    Yields:
        Of each its label, its style under a threat, and its rows.
    """
    strengths = sorted(cells["strength"].unique())
    for strength, look in zip(strengths, sequence(len(strengths), color, threat), strict=True):
        label = style.level_label(cells["strength_name"].iloc[0], strength)
        yield label, look, cells[cells["strength"] == strength]


def draw_line(axes: Axes, rates: pd.DataFrame, **look: Any) -> None:
    """Draw a line of `condense_seeds` with its intervals, and mark what is in doubt.

    The intervals of a line over several seeds are a band, of a single point a broad bar, and the
    standard deviation over them is a bar; of one seed the intervals are bars. `look` are keywords
    of `Axes.plot`.
    """
    x = np.asarray(rates.index, dtype=float)
    rate, low, high = (rates[name] for name in ("rate", "low", "high"))
    if len(x) == 1:  # a line of one point does not show
        look = {**look, "marker": look.get("marker") or "o"}
    axes.plot(x, rate, **look)
    # Rounding can put a bound of a rate of 0 or 1 a hair on its wrong side.
    bars = np.clip([rate - low, high - rate], 0, None)
    if rates.attrs.get("several"):
        band = {"color": look["color"], "alpha": 0.2}
        if len(x) > 1:
            has_steps = look.get("drawstyle") == "steps-post"
            axes.fill_between(x, low, high, step="post" if has_steps else None, **band, linewidth=0)
        else:
            axes.vlines(x, low, high, **band, linewidth=BROAD)
        bars = np.array([rates["std"]] * 2)
    bar = {"fmt": "none", "ecolor": look["color"], "elinewidth": 0.8, "capsize": 1.5}
    axes.errorbar(x, rate, yerr=bars, errorevery=_thin(len(x), MOST_BARS), **bar)
    doubted = np.flatnonzero(rates["in_doubt"])
    doubted = doubted[:: _thin(len(doubted), MOST_MARKS)]
    style.mark_doubt(axes, x[doubted], rate.to_numpy()[doubted])


def _thin(count: int, most: int) -> int:
    """Of `count` points take every so many, to have `most` at most."""
    return max(1, -(-count // most))
