"""What the figures share: theme, panels, and the words on their axes."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D

from epsigma.figures.levels import NORMS as NORMS
from epsigma.figures.levels import level_label as level_label
from epsigma.figures.levels import spelled_label as spelled_label
from epsigma.storage.class_names import name_class
from epsigma.vocabulary import FIXED

AXES = {
    "eps": "ε in {norm} (pixel range 0 to 1)",
    "sigma": "σ of the Gaussian kernel (pixels)",
    "cutoff": "cutoff (cycles per pixel)",
    "std": "standard deviation (pixel range 0 to 1)",
    "bits": "bits that are kept of each value",
    "quality": "quality of the JPEG (1 to 100)",
    "size": "side of the window (pixels)",
    "gamma": "Υ, largest share of the features changed",
    "kappa": "κ, logit margin asked for",
    "confidence": "softmax probability asked for",
    "passes": "passes through the autoencoder",
    "components": "principal components that stay",
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
# Panels a row, at most, and how wide they are beside others, in inches.
COLUMNS = 3
WIDTHS = {1: 5.2, 2: 5.2, 3: 4.1}
# Levels that an axis has numbers for, and how far from each other, as a share of the axis.
FEW, APART = 6, 0.1
# The size of labels, in points.
FONT_SIZE = 10
DOUBT = "#c1121f"
# Strengths that are whole numbers.
COUNTS = ("bits", "quality", "size", "radius", "levels", "lowest", "rank", "components")
# Characters of a class's name that have room below an image.
LONGEST = 12


@contextmanager
def theme(font_size: float = FONT_SIZE) -> Iterator[None]:
    """Draw what the body draws in the project's style, the same bytes each time.

    Args:
        font_size: of labels, in points; other text has its size in proportion.
    """
    paper = sns.plotting_context("paper")
    settings = {
        **sns.axes_style("ticks", {"axes.grid": True, "grid.color": "0.9"}),
        **sns.plotting_context("paper", font_scale=font_size / paper["axes.labelsize"]),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "legend.frameon": False,
        "figure.constrained_layout.w_pad": 0.08,
        "svg.fonttype": "none",
        # Letters of a PDF are letters: type 3 fonts are refused by some publishers.
        "pdf.fonttype": 42,
        "svg.hashsalt": "epsigma",
        "lines.markersize": 4,
        "lines.linewidth": 1.3,
    }
    with mpl.rc_context(settings):
        yield


def axis_label(name: str | None, norm: str | None = None) -> str:
    """Say what a swept hyper-parameter is, for an axis."""
    return AXES.get(name or "", name or "").format(norm=NORMS.get(norm or "", "its norm"))


def label_strength(axes: Axes, cells: pd.DataFrame) -> None:
    """Say on the x axis what the strength of a filter is, whose rows `cells` are."""
    name = cells["strength_name"].iloc[0]
    axes.set_xlabel(axis_label(name))
    only = cells["strength"].unique()
    if name == FIXED:
        axes.set_xticks([])
    else:
        space_levels(axes, only, are_counts=name in COUNTS)


def space_levels(axes: Axes, levels: Iterable[float] = (), *, are_counts: bool = False) -> None:
    """Number an axis at its levels, if they are few and apart, or else at few round values.

    Zeros that say nothing are left out.
    """
    known = sorted(levels)
    reach = known[-1] - known[0] if known else 0.0
    if 0 < len(known) <= FEW and all(b - a >= APART * reach for a, b in pairwise(known)):
        axes.set_xticks(known)
    else:
        locator = mpl.ticker.MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=are_counts)
        axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:.6g}"))


def label_budget(axes: Axes, cells: pd.DataFrame) -> None:
    """Say on the x axis what the budget of an attack is, whose rows `cells` are."""
    axes.set_xlabel(budget_label(cells))
    space_levels(axes, cells["budget"].dropna().unique())


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


def leave_out(axes: Axes, why: str) -> None:
    """Leave a panel empty, without axes, and say why."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color="0.35")


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
    """Make a figure with so many panels, and `margin` inches for a title.

    Rows have about as many panels each, at most `COLUMNS`, and fill the sheet.
    """
    rows = [len(row) for row in split_rows(list(range(count)))]
    height = 3.2 * len(rows) + margin
    figure = Figure(layout="constrained", figsize=(WIDTHS[rows[0]] * rows[0], height))
    return figure, fill_rows(figure, figure.add_gridspec(len(rows), math.lcm(*rows)), rows)


def split_rows(panels: Sequence[Any]) -> list[Sequence[Any]]:
    """Split what panels show into rows, the longer ones first: seven are three, two and two."""
    count = -(-len(panels) // COLUMNS)
    short, longer = divmod(len(panels), count or 1)
    ends = list(accumulate(short + (row < longer) for row in range(count)))
    return [panels[start:end] for start, end in pairwise([0, *ends])]


def fill_rows(figure: Figure, grid: GridSpec, rows: Sequence[int], first: int = 0) -> list[Axes]:
    """Add so many panels to each row of a grid, from row `first` on, over its whole width."""
    found = []
    for row, count in enumerate(rows, start=first):
        span = grid.ncols // count
        found += [
            figure.add_subplot(grid[row, column * span : (column + 1) * span])
            for column in range(count)
        ]
    return found


def percent(axes: Axes, label: str) -> None:
    """Show rates in [0, 1] as percentages on the whole y axis."""
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(xmax=1))
    # Panels of a row have the same axis.
    place = axes.get_subplotspec()
    axes.set_ylabel(label if place is None or place.is_first_col() else "")


def legend_right(axes: Axes, *entries: Any, title: str | None = None, columns: int = 1) -> None:
    """Put the legend (of handles and labels; those of the axes if left out) beside the axes."""
    place: dict[str, Any] = {
        "loc": "center left",
        "bbox_to_anchor": (1.02, 0.5),
        "borderaxespad": 0,
    }
    axes.legend(*entries, **place, title=title, ncols=columns)


def legend_of(figure: Figure, looks: list[dict[str, Any]]) -> None:
    """Put a legend on the right of all axes: of each entry the look of its line, and `label`."""
    figure.legend(handles=[Line2D([], [], **look) for look in looks], loc="outside right center")


def nothing(why: str = "The study has no cells for this figure.") -> Figure:
    """Say, in place of a figure, why there is nothing to show."""
    figure = Figure(layout="constrained", figsize=(5.2, 1.2))
    figure.suptitle(why)
    return figure
