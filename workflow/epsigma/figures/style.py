"""What the figures share: theme, line styles, and the words on their axes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D

from epsigma.cell import Level, spell
from epsigma.storage.class_names import name_class
from epsigma.vocabulary import FIXED

AXES = {
    "eps": "ε, radius of the {norm} ball (pixel range is 0 to 1)",
    "sigma": "σ of the Gaussian kernel (pixels)",
    "cutoff": "cutoff; of a band-pass its centre (cycles per pixel)",
    "std": "standard deviation of the noise (pixel range is 0 to 1)",
    "bits": "bits that are kept of each value",
    "quality": "quality of the JPEG (1 to 100)",
    "size": "side of the window (pixels)",
    "gamma": "Υ, largest share of the features changed",
    "kappa": "κ, logit margin asked for",
    "confidence": "softmax probability asked for",
    "passes": "passes through the autoencoder",
    "radius": "radius of the window (pixels)",
    "sigma_color": "σ of colours (pixel range is 0 to 1)",
    "strength": "h, how far alike patches differ (grey levels)",
    "weight": "weight of the total variation",
    "noise": "σ of the noise that goes (pixel range is 0 to 1)",
    "share": "share of the pixels deflected, or of the side cropped",
    "levels": "levels that are left",
    "amount": "amount of sharpening",
    "smallest": "smallest size, as a share of the image's",
    "lowest": "lowest quality of a block (1 to 40)",
    "rank": "singular values that stay",
    FIXED: "(the filter has no strength)",
}
NORMS = {"linf": "ℓ∞", "l2": "ℓ2", "l0": "ℓ0"}
# Panels a row.
COLUMNS = 2
DOUBT = "#c1121f"
# Strengths that are whole numbers.
COUNTS = ("bits", "quality", "size", "radius", "levels", "lowest", "rank")
SYMBOLS = {"eps": "ε", "sigma": "σ", "gamma": "Υ", "kappa": "κ"}
# Characters of a class's name that have room below an image.
LONGEST = 12
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
        "figure.constrained_layout.w_pad": 0.08,
        "svg.fonttype": "none",
        "svg.hashsalt": "epsigma",
        "lines.markersize": 4,
        "lines.linewidth": 1.3,
    }
    with mpl.rc_context(settings):
        yield


def sequence(n: int) -> list[dict[str, Any]]:
    """Style n ordered lines: from light to dark in cividis, with markers and dashes of their own.

    Order survives grey print and colour-blindness. A line that is solid has no `dashes`.
    """
    colours = mpl.colormaps["cividis_r"](np.linspace(0.15, 1, n) if n != 1 else [1.0])
    return [
        {"color": colour, "marker": marker, **({"dashes": dashes} if dashes else {})}
        for colour, marker, dashes in zip(colours, cycle(_MARKERS), cycle(_DASHES), strict=False)
    ]


def axis_label(name: str | None, norm: str | None = None) -> str:
    """Say what a swept hyper-parameter is, for an axis."""
    return AXES.get(name or "", name or "").format(norm=NORMS.get(norm or "", "perturbation's"))


def label_strength(axes: Axes, cells: pd.DataFrame) -> None:
    """Say on the x axis what the strength of a filter is, whose rows `cells` are."""
    name = cells["strength_name"].iloc[0]
    axes.set_xlabel(axis_label(name))
    only = cells["strength"].unique()
    if name == FIXED:
        axes.set_xticks([])
    elif len(only) == 1:
        axes.set_xticks(only)
    elif name in COUNTS:
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))


def budget_label(cells: pd.DataFrame) -> str:
    """Say what the budget of an attack is, whose rows `cells` are, for an axis."""
    first = cells.iloc[0]
    return axis_label(first["budget_name"], first["norm"])


def accuracy_label(is_fooling: bool) -> str:
    """Say what the accuracy under an attack is: fooling images have no class to be right of."""
    return "fooling images not accepted" if is_fooling else "accuracy"


def apart_from(strengths: list[float]) -> float:
    """Find a place on a strength axis for what has no strength: on its left, for no filter."""
    return strengths[0] - 0.18 * ((strengths[-1] - strengths[0]) or strengths[0] or 1.0)


def label_apart(axes: Axes, strengths: list[float]) -> None:
    """Name the place of `apart_from` ascending strengths on the axis, and divide it off.

    Everything else is drawn already.
    """
    # A panel may have nothing to show at any strength.
    axes.update_datalim([(strength, 0) for strength in strengths], updatey=False)
    axes.autoscale_view(scaley=False)
    apart = apart_from(strengths)
    middle = (apart + strengths[0]) / 2
    axes.axvline(middle, color="0.6", linewidth=0.8)
    # Ticks are sums of steps: 0.3 may be a hair above 0.3.
    end = strengths[-1] * (1 + 1e-9)
    ticks = [tick for tick in axes.get_xticks() if middle < tick <= end]
    axes.set_xticks([apart, *ticks], ["none", *(f"{tick:g}" for tick in ticks)])


def mark_doubt(axes: Axes, x: Any, y: Any) -> None:
    """Cross out, in red, points that a failed check casts doubt on, and say so under the axes."""
    if len(x):
        axes.plot(x, y, "x", color=DOUBT, markersize=9, markeredgewidth=1.6, zorder=5)
        axes.figure.supxlabel("× in doubt: a check failed, see checks.csv", color=DOUBT)


def level_label(name: str | None, value: float | None) -> str:
    """Say `ε = 0.1`, for a legend, in six significant digits."""
    if name in (None, FIXED) or value is None:
        return FIXED
    return f"{SYMBOLS.get(name, name)} = {spell(float(f'{value:.6g}'))}"


def spelled_label(level: str) -> str:
    """Say `ε = 0.1`, for a legend, of a level as paths spell it."""
    parsed = Level.parse(level)
    return level_label(parsed.name, parsed.value)


def class_label(number: int, names: Sequence[str]) -> str:
    """Say the name of a class; its number if the font lacks a glyph of it.

    One of more than `LONGEST` characters is cut, and has its number: others may begin alike.
    """
    name = " ".join(name_class(names, number).split())
    known = get_font(findfont(FontProperties())).get_charmap()
    if not name or any(ord(letter) not in known for letter in name):
        return str(number)
    # A pair of dollar signs would be a formula.
    short = name if len(name) <= LONGEST else f"{number} {name[: LONGEST - 4]}…"
    return short.replace("$", r"\$")


def panels(count: int, *, margin: float = 0.6) -> tuple[Figure, list[Axes]]:
    """Make a figure with so many panels, in rows of `COLUMNS`, and `margin` inches for a title."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(layout="constrained", figsize=(5.2 * columns, 3.2 * rows + margin))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def percent(axes: Axes, label: str) -> None:
    """Show rates in [0, 1] as percentages on the whole y axis."""
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(xmax=1))
    axes.set_ylabel(label)


def legend_right(axes: Axes, *entries: Any, title: str | None = None) -> None:
    """Put the legend (of handles and labels; those of the axes if left out) beside the axes."""
    place: dict[str, Any] = {
        "loc": "center left",
        "bbox_to_anchor": (1.02, 0.5),
        "borderaxespad": 0,
    }
    axes.legend(*entries, **place, title=title)


def legend_of(figure: Figure, looks: list[dict[str, Any]]) -> None:
    """Put a legend on the right of all axes: of each entry the look of its line, and `label`."""
    figure.legend(handles=[Line2D([], [], **look) for look in looks], loc="outside right center")


def nothing(why: str = "The study has no cells for this figure.") -> Figure:
    """Say, in place of a figure, why there is nothing to show."""
    figure = Figure(layout="constrained", figsize=(5.2, 1.2))
    figure.suptitle(why)
    return figure
