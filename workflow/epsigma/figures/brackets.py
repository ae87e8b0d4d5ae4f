"""The bracket of proofs: a band between what is proved safe and what nothing fools."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from epsigma.figures.looks import NEUTRAL

BAND = "proved safe … not fooled"
EXACT = "exact: the two meet"
# A band over several levels, the bar of one alone, and the marker of an exact answer.
_BAR_WIDTH = 6
_MARKER: dict[str, Any] = {
    "linestyle": "",
    "marker": "D",
    "markersize": 4,
    "markerfacecolor": "white",
    "zorder": 3,
}


def has_proofs(cells: pd.DataFrame) -> bool:
    """Whether rows of `cells.csv` have proofs."""
    return "certified" in cells and bool(cells["certified"].notna().any())


def condense_brackets(cells: pd.DataFrame, level: str) -> pd.DataFrame:
    """Condense rows of `cells.csv` that differ in seed, attack and `level` only.

    A proof holds for attacks that know the defence; other rows have none and do not count.

    Returns:
        By level (`budget` or `strength`), in its order: `certified` and `attacked`, means over the
        seeds; `is_exact`, whether they meet on every one; and `proofs`, of how many images they
        are, or NaN if attacks are on as many. Empty without proofs.
    """
    columns = ["certified", "attacked", "exact", "n", "n_proofs"]
    if not has_proofs(cells):  # as a rule, and groups of nothing take long
        return pd.DataFrame(columns=["certified", "attacked", "is_exact", "proofs"])
    known = cells.reindex(columns=[level, *columns]).dropna(subset=["certified"])
    groups = known.groupby(level, sort=True)
    brackets = groups[["certified", "attacked"]].mean()
    few = known["n"] < known["n_proofs"]
    more = known["n_proofs"].where(few).groupby(known[level]).max()
    return brackets.assign(is_exact=groups["exact"].count() == groups.size(), proofs=more)


def draw_bracket(axes: Axes, brackets: pd.DataFrame, color: Any) -> None:
    """Draw what `condense_brackets` found: a light band, a bar at a single level; `exact` marked.

    It is below lines, and has an edge that the band of several seeds lacks. Nothing is drawn
    without proofs.
    """
    if brackets.empty:
        return
    x = np.asarray(brackets.index, dtype=float)
    low, high = brackets["certified"], brackets["attacked"]
    if len(x) > 1:
        axes.fill_between(x, low, high, **_fill(color))
    else:
        axes.vlines(x, low, high, color=to_rgba(color, 0.35), linewidth=_BAR_WIDTH, zorder=1)
    exact = brackets["is_exact"]
    if exact.any():
        axes.plot(x[exact], low[exact], markeredgecolor=color, **_MARKER)


def name_brackets(
    axes: Axes, *brackets: pd.DataFrame, color: Any = NEUTRAL, prefix: str = ""
) -> None:
    """Add to the labels of the axes what those of `draw_bracket` are; nothing without proofs.

    `prefix` says in whose presence the bracket holds, where the figure shows another attacker. Of
    how many images it is, is said where attacks are on fewer.
    """
    known = [one for one in brackets if len(one)]
    if known:
        proofs = pd.concat(known)["proofs"].max()
        of = f" ({proofs:.0f} images)" if proofs > 0 else ""
        axes.fill_between([], [], [], label=f"{prefix}{BAND}{of}", **_fill(color))
    if any(one["is_exact"].any() for one in known):
        axes.plot([], [], markeredgecolor=color, label=EXACT, **_MARKER)


def _fill(color: Any) -> dict[str, Any]:
    return {
        "facecolor": to_rgba(color, 0.16),
        "edgecolor": to_rgba(color, 0.6),
        "linewidth": 0.6,
        "zorder": 1,
    }
