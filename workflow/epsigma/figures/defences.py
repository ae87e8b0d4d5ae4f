"""What each defence keeps, against what it costs."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.looks import NEUTRAL, distinguish
from epsigma.figures.rates import name_seeds
from epsigma.tables.best import COST, best_strengths
from epsigma.tables.seeds import add_intervals
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

# Columns of `defences.csv`, and what the attacker of each knows.
ATTACKERS = {BLIND: "blind: knows the undefended model", AWARE: "aware: knows the defence"}
# The fill of a model, the colour and the marker of a filter.
Looks = dict[str, dict[str, Any]]
FILLS = ("full", "none", "left", "top", "right", "bottom")
SIZE = 6
# Numbers of each power of ten, on an axis over so many powers at most.
TICKS = {1: (1, 1.5, 2, 3, 5, 7), 2: (1, 2, 5), np.inf: (1,)}


def accuracy_against_cost(data: FigureData) -> Figure:
    """Draw the accuracy under the worst of all attacks against the time an image takes.

    In the norm of most rows. A row a budget at which aware attackers meet filters (all, if there is
    none), one attacker on the left and the other on the right; a fill a model; a colour and a
    marker a filter.
    Of a filter's strengths the one is shown that keeps most from an aware attacker, on validation
    images, and what it keeps on the others. A title says of how many images that is, where the
    attacks of its budget do not share all.
    """
    defences = data.table("defences")
    if defences["seed"].nunique() > 1:
        defences = add_intervals(defences, "robust", data.table("seeds"))
    shown = _choose_rows(defences)
    budgets = sorted(shown["budget"].unique())
    if not budgets:
        return style.nothing()
    models, filters = (list(dict.fromkeys(shown[name])) for name in ("model", "filter"))
    of_models = {name: _fill(one) for name, one in zip(models, cycle(FILLS), strict=False)}
    # As in the atlas, which has a line of no filter in place of points.
    ordered = sorted(filters, key=lambda name: (name == NO_FILTER, name))
    of_filters = distinguish({name: data.color(name) for name in ordered})
    # Room for the legend.
    high = max(3.3 * len(budgets) + 0.6, 0.2 * (len(models) + len(filters)) + 0.6)
    figure = Figure(layout="constrained", figsize=(11.5, high))
    grid = figure.subplots(len(budgets), 2, squeeze=False, sharex=True)
    for row, budget in zip(grid, budgets, strict=True):
        here = shown[shown["budget"] == budget]
        level = style.level_label(here["budget_name"].iloc[0], budget)
        for axes, (attacker, title) in zip(row, ATTACKERS.items(), strict=True):
            met = here.dropna(subset=[attacker, COST])
            _draw_points(axes, met, attacker, of_filters, of_models)
            n = here[f"{attacker}_images"].max()
            of = f" ({n:.0f} images)" if n > 0 else ""
            axes.set_title(f"{level}, {title}{of}", fontsize="medium")
    for axes in grid[-1]:
        axes.set_xlabel("µs an image on one core, in batches of 1,000")
        _number_costs(axes, shown[COST])
    looks = [
        {"color": NEUTRAL, "marker": "o", **fill, "label": data.name_model(name)}
        for name, fill in of_models.items()
    ]
    looks += [{**of_filters[name], "label": data.name_filter(name)} for name in filters]
    style.legend_of(figure, [{**look, "linestyle": "", "markersize": SIZE} for look in looks])
    norm = style.NORMS[shown["norm"].iloc[0]]
    about = f"What a defence keeps under attacks in {norm}, and what it costs"
    figure.suptitle(f"{about}\n{data.dataset}{name_seeds(defences)}")
    return figure


def _choose_rows(defences: pd.DataFrame) -> pd.DataFrame:
    """Choose the norm of most rows, a strength a filter, and budgets that compare attackers."""
    if defences.empty:
        return defences
    shown = best_strengths(defences[defences["norm"] == defences["norm"].mode().iloc[0]])
    # Where no filter meets an attacker who knows it, there is nothing to set side by side.
    compared = shown[(shown["filter"] != NO_FILTER) & shown[AWARE].notna()]["budget"]
    return shown[shown["budget"].isin(compared)] if len(compared) else shown


def _draw_points(
    axes: Axes, defences: pd.DataFrame, attacker: str, of_filters: Looks, of_models: Looks
) -> None:
    """Draw a point a defence, over a logarithmic cost."""
    for _, row in defences.iterrows():
        rate = row[attacker]
        below, above = rate - row[f"{attacker}_low"], row[f"{attacker}_high"] - rate
        look = {**of_filters[row["filter"]], **of_models[row["model"]], "markersize": SIZE}
        # Rounding can put a bound of a rate of 0 or 1 a hair on its wrong side.
        bars = np.clip([[below], [above]], 0, None)
        axes.errorbar(row[COST], rate, yerr=bars, **look, alpha=0.85, elinewidth=0.8, capsize=1.5)
    axes.set_xscale("log")
    style.percent(axes, "worst-case accuracy")


def _fill(how: str) -> dict[str, Any]:
    """Fill a marker in this way; the half that is not filled is white."""
    return {"fillstyle": how, "markerfacecoloralt": "white"}


def _number_costs(axes: Axes, costs: "pd.Series[float]") -> None:
    """Number a logarithmic axis, with fewer numbers of each power of ten over a wide range."""
    powers = np.log10(costs.max() / costs.min())
    numbers = next(found for most, found in TICKS.items() if powers <= most)
    axes.xaxis.set_major_locator(LogLocator(subs=numbers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
