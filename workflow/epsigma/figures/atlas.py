"""What every filter keeps from an aware attacker, against what it costs on clean images."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.looks import NEUTRAL, distinguish
from epsigma.tables.intervals import with_bounds
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

# Points of accuracy up to which the axis is linear; logarithmic beyond.
LINEAR = 2
TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50)
SIZE = 6


def aware_against_clean(data: FigureData) -> Figure:
    """Draw the accuracy that is left of each filter against what it costs on clean images.

    A panel a model, norm and budget that some filter has; a point a filter, aware; above it on
    the same cost its hollow twin, blind, joined by a line. A dotted line is what is left without a
    filter. Bars are the 95 % intervals of the aware accuracies. The order of the legend is that of
    what is left aware, on average over the panels.
    """
    table = data.table("atlas").dropna(subset=[AWARE])
    filters = table[table["filter"] != NO_FILTER]
    if filters.empty:
        return style.nothing()
    order = filters.groupby("filter", sort=False)[AWARE].mean().sort_values(ascending=False)
    names = list(dict.fromkeys(filters["filter"]))
    told = distinguish({name: data.color(name) for name in sorted(names)})
    looks = {name: {**look, "markersize": SIZE} for name, look in told.items()}
    panels_of = table.groupby(["model", "norm", "budget"], sort=False)
    groups = [rows for _, rows in panels_of if (rows["filter"] != NO_FILTER).any()]
    figure, panels = style.panels(len(groups), margin=0.9)
    for axes, rows in zip(panels, groups, strict=True):
        _draw_filters(axes, rows, looks)
        first = rows.iloc[0]
        level = style.level_label(first["budget_name"], first["budget"])
        about = f"{data.name_model(first['model'])}, {style.NORMS[first['norm']]}, {level}"
        axes.set_title(about, fontsize="medium")
    wide, high = figure.get_size_inches()
    figure.set_size_inches(wide + 2.4, max(high, 0.19 * len(order) + 1.2))
    entries = [{**looks[name], "label": data.name_filter(name)} for name in order.index]
    entries += [
        {"color": NEUTRAL, "marker": "o", "markerfacecolor": "none", "label": "hollow: blind"},
        {"color": NEUTRAL, "linestyle": ":", "label": "no filter"},
    ]
    style.legend_of(figure, [{"linestyle": "", **look} for look in entries])
    # In two lines, beside the legend of a single panel.
    figure.suptitle(f"What filters keep from attackers\nwho know them: {data.dataset}")
    return figure


def _draw_filters(axes: Axes, rows: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    """Draw a pair of points a filter, and the line of no filter."""
    for _, row in rows.iterrows():
        if row["filter"] == NO_FILTER:
            axes.axhline(row[AWARE], color=NEUTRAL, linestyle=":", zorder=0)
            continue
        look, cost = looks[row["filter"]], 100 * row["clean_cost"]
        rate, low, high = (row[name] for name in with_bounds(AWARE))
        # Rounding can put a bound of a rate of 0 or 1 a hair on its wrong side.
        bars = np.clip([[rate - low], [high - rate]], 0, None)
        axes.errorbar(cost, rate, yerr=bars, **look, elinewidth=0.8, capsize=1.5)
        if not pd.isna(row[BLIND]):
            axes.plot([cost] * 2, [rate, row[BLIND]], color=look["color"], linewidth=0.6, zorder=1)
            axes.plot(cost, row[BLIND], **look, markerfacecolor="none", linestyle="")
    costs = 100 * rows.loc[rows["filter"] != NO_FILTER, "clean_cost"]
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=1)
    # Room for the markers at both ends.
    low, high = min(0, 1.3 * costs.min()) - 0.3, 1.3 * max(LINEAR, costs.max())
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axes.set_xlabel("cost on clean images (points)")
    style.percent(axes, "worst-case accuracy")
