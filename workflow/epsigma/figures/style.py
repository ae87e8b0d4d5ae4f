"""What the figures share: theme, line styles, and the words on their axes."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from epsigma.grid import spell

AXES = {
    "eps": "ε, radius of the ℓ∞ ball (pixel range is 0 to 1)",
    "sigma": "σ of the Gaussian kernel (pixels)",
    "cutoff": "cutoff; of a band-pass its centre (cycles per pixel)",
}
SYMBOLS = {"eps": "ε", "sigma": "σ", "cutoff": "cutoff"}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_DASHES = ((), (4, 1.5), (1, 1), (3, 1, 1, 1), (5, 1, 1, 1, 1, 1))


@contextmanager
def theme() -> Iterator[None]:
    """Draw what the body draws in the project's style, the same bytes each time."""
    settings = {
        **sns.axes_style("ticks", {"axes.grid": True, "grid.color": "0.9"}),
        **sns.plotting_context("paper", font_scale=1.1),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "epsigma",
        "lines.markersize": 4,
        "lines.linewidth": 1.3,
    }
    with mpl.rc_context(settings):
        yield


def sequence(n: int) -> list[dict[str, Any]]:
    """Style n ordered lines: from light to dark in cividis, with markers and dashes of their own.

    Order shows in lightness, so it survives grey print and colour-blindness; neighbours differ in
    marker and dash.
    """
    colours = mpl.colormaps["cividis_r"](np.linspace(0.15, 1, n) if n > 1 else [1.0])
    return [
        {"color": colour, "marker": marker, "dashes": dashes}
        for colour, marker, dashes in zip(colours, cycle(_MARKERS), cycle(_DASHES), strict=False)
    ]


def axis_label(name: str | None) -> str:
    """Say what a swept hyper-parameter is, for an axis."""
    return AXES.get(name or "", name or "")


def level_label(name: str | None, value: float | None) -> str:
    """Say `ε = 0.1`, for a legend."""
    if name is None or value is None:
        return "fixed"
    return f"{SYMBOLS.get(name, name)} = {spell(value)}"


def percent(axes: Axes, label: str) -> None:
    """Show rates in [0, 1] as percentages on the whole y axis."""
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(xmax=1))
    axes.set_ylabel(label)


def legend_right(axes: Axes) -> None:
    """Put the legend beside the axes, where it hides nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), borderaxespad=0)
