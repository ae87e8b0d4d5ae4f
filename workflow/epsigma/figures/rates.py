"""Lines of rates, with their intervals and doubts."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from epsigma.figures import style


def condense_seeds(cells: pd.DataFrame, rate: str, level: str) -> pd.DataFrame:
    """Condense seeds: the mean rate of each level, and what to draw as its band.

    Args:
        cells: rows that differ in seed and `level` only, and `in_doubt`.
        rate: `accuracy`, `attack_success` or `fallen`.
        level: `budget` or `strength`.

    Returns:
        `rate`, `low`, `high`, `in_doubt` by level, in its order. The band is the Wilson interval
        of a single seed, or the range over several.
    """
    groups = cells.groupby(level, sort=True)
    several = cells["seed"].nunique() > 1
    rates = pd.DataFrame(
        {
            "rate": groups[rate].mean(),
            "low": groups[rate if several else f"{rate}_low"].min(),
            "high": groups[rate if several else f"{rate}_high"].max(),
            "in_doubt": groups["in_doubt"].any(),
        }
    )
    rates.attrs["several"] = several
    return rates


def split_by_strength(cells: pd.DataFrame) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """Split the rows of a filter by strength: of each its label, its style and its rows."""
    strengths = sorted(cells["strength"].unique())
    for strength, look in zip(strengths, style.sequence(len(strengths)), strict=True):
        label = style.level_label(cells["strength_name"].iloc[0], strength)
        yield label, look, cells[cells["strength"] == strength]


def draw_line(axes: Axes, rates: pd.DataFrame, **look: Any) -> None:
    """Draw a line with its intervals, and mark what is in doubt.

    The intervals of a line over several seeds are a band; of a single point they are a bar.

    Args:
        axes: where to.
        rates: what `condense_seeds` returns.
        look: keywords of `Axes.plot`.
    """
    x = np.asarray(rates.index, dtype=float)
    axes.plot(x, rates["rate"], **look)
    if rates.attrs.get("several") and len(x) > 1:
        axes.fill_between(
            x,
            rates["low"],
            rates["high"],
            step="post" if look.get("drawstyle") == "steps-post" else None,
            color=look["color"],
            alpha=0.2,
            linewidth=0,
        )
    else:
        axes.errorbar(
            x,
            rates["rate"],
            # Rounding can put a bound of a rate of 0 or 1 a hair on its wrong side.
            yerr=np.clip([rates["rate"] - rates["low"], rates["high"] - rates["rate"]], 0, None),
            fmt="none",
            ecolor=look["color"],
            elinewidth=0.8,
            capsize=1.5,
        )
    style.mark_doubt(axes, x[rates["in_doubt"]], rates["rate"][rates["in_doubt"]])
