"""Rates over budgets and strengths: the paper's figures 1, 3 and 4."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.vocabulary import NO_FILTER

# Panels a row of small multiples.
COLUMNS = 2


def accuracy_by_budget(cells: pd.DataFrame) -> Figure:
    """Draw the unfiltered model's accuracy over the attack's budget (the paper's figure 1).

    Args:
        cells: rows of `cells.csv`, of one data set, model, threat and attack, and `norm` and
            `in_doubt`.
    """
    unfiltered = cells[cells["filter"] == NO_FILTER]
    if unfiltered.empty:
        return style.nothing()
    figure = Figure(layout="constrained", figsize=(5.2, 3.4))
    axes = figure.subplots()
    rates = over_seeds(unfiltered, "accuracy", "budget")
    line(axes, rates, label="no filter", color="black", marker="o")
    for budget, rate in zip(rates.index, rates["rate"], strict=True):
        axes.annotate(
            f"{rate:.1%}", (budget, rate), (4, 6), textcoords="offset points", fontsize="small"
        )
    axes.set_xlabel(style.budget_label(cells))
    style.percent(axes, style.accuracy_label(cells))
    axes.set_title(_title(cells, "accuracy without a filter"))
    return figure


def accuracy_by_strength(cells: pd.DataFrame, filter_name: str) -> Figure:
    """Draw accuracy over a filter's strength, one line a budget (the paper's figure 3).

    The unfiltered accuracy stands apart, on the left.

    Args:
        cells: rows of `cells.csv`, of one data set, model, threat and attack, and `norm` and
            `in_doubt`.
        filter_name: the filter.
    """
    filtered = cells[cells["filter"] == filter_name]
    if filtered.empty:
        return style.nothing()
    figure = Figure(layout="constrained", figsize=(6.4, 4))
    axes = figure.subplots()
    unfiltered = over_seeds(cells[cells["filter"] == NO_FILTER], "accuracy", "budget")
    strengths = sorted(filtered["strength"].unique())
    apart = style.apart_from(strengths)
    budgets = sorted(cells["budget"].unique())
    for budget, look in zip(budgets, style.sequence(len(budgets)), strict=True):
        at = filtered[filtered["budget"] == budget]
        if at.empty:
            continue
        rates = over_seeds(at, "accuracy", "strength")
        label = style.level_label(cells["budget_name"].iloc[0], budget)
        line(axes, rates, label=label, **look)
        none = unfiltered.loc[[budget]].set_axis([apart])
        line(axes, none, color=look["color"], marker=look["marker"])
        axes.plot(
            [apart, rates.index[0]],
            [none["rate"].iloc[0], rates["rate"].iloc[0]],
            color=look["color"],
            linewidth=0.5,
            linestyle=":",
        )
    style.label_strength(axes, filtered)
    style.label_apart(axes, strengths)
    style.percent(axes, style.accuracy_label(cells))
    style.legend_right(axes)
    axes.set_title(_title(filtered, f"accuracy through {filter_name}"))
    return figure


def success_by_budget(cells: pd.DataFrame) -> Figure:
    """Draw attack success over the budget, with and without each filter (the paper's figure 4).

    A panel a filter: the unfiltered model in black, the filter's strengths from light to dark.

    Args:
        cells: rows of `cells.csv`, of one data set, model, threat and attack, and `norm` and
            `in_doubt`.
    """
    names = [name for name in cells["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    rows = -(-len(names) // COLUMNS)
    figure = Figure(
        layout="constrained", figsize=(5.2 * min(COLUMNS, len(names)), 3.2 * rows + 0.3)
    )
    grid = figure.subplots(rows, min(COLUMNS, len(names)), squeeze=False)
    unfiltered = over_seeds(cells[cells["filter"] == NO_FILTER], "attack_success", "budget")
    for axes, name in zip(grid.flat, names, strict=False):
        filtered = cells[cells["filter"] == name]
        line(axes, unfiltered, label="none", color="black", marker=None, linewidth=2)
        strengths = sorted(filtered["strength"].unique())
        for strength, look in zip(strengths, style.sequence(len(strengths)), strict=True):
            at = filtered[filtered["strength"] == strength]
            label = style.level_label(filtered["strength_name"].iloc[0], strength)
            line(axes, over_seeds(at, "attack_success", "budget"), label=label, **look)
        axes.set_title(name)
        axes.set_xlabel(style.budget_label(cells))
        style.percent(axes, "attack success")
        style.legend_right(axes)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    filtered = cells[cells["filter"] != NO_FILTER]
    figure.suptitle(_title(filtered, "attack success"))
    return figure


def accuracy_of_attacks(cells: pd.DataFrame) -> Figure:
    """Draw the unfiltered model's accuracy over the budget, a line an attack, a panel a norm.

    Args:
        cells: rows of `cells.csv`, of one data set and model, without a filter, and `norm`.
    """
    norms = list(cells["norm"].unique())
    figure = Figure(layout="constrained", figsize=(5.6 * len(norms), 3.6))
    for axes, norm in zip(figure.subplots(1, len(norms), squeeze=False).flat, norms, strict=True):
        mine = cells[cells["norm"] == norm]
        names = list(mine["attack"].unique())
        for name, look in zip(names, style.sequence(len(names)), strict=True):
            line(
                axes,
                over_seeds(mine[mine["attack"] == name], "accuracy", "budget"),
                label=name,
                **look,
            )
        axes.set_xlabel(style.axis_label(mine["budget_name"].iloc[0], norm))
        style.percent(axes, "accuracy")
        style.legend_right(axes)
    first = cells.iloc[0]
    figure.suptitle(f"{first['model']}, {first['dataset']}: accuracy without a filter")
    return figure


def over_seeds(cells: pd.DataFrame, rate: str, level: str) -> pd.DataFrame:
    """Condense seeds: the mean rate of each level, and what to draw as its band.

    Args:
        cells: rows of `cells.csv` that differ in seed and `level` only, and `in_doubt`.
        rate: `accuracy` or `attack_success`.
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


def line(axes: Axes, rates: pd.DataFrame, **look: Any) -> None:
    """Draw a line with its intervals, and mark what is in doubt.

    The intervals of a line over several seeds are a band; of a point there is none, but a bar.

    Args:
        axes: where to.
        rates: what `over_seeds` returns.
        look: keywords of `Axes.plot`.
    """
    x = np.asarray(rates.index, dtype=float)
    if not look.get("dashes"):
        look.pop("dashes", None)
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
        below, above = rates["rate"] - rates["low"], rates["high"] - rates["rate"]
        axes.errorbar(
            x,
            rates["rate"],
            # Rounding can put a bound of a rate of 0 or 1 a hair on its wrong side.
            yerr=np.clip([below, above], 0, None),
            fmt="none",
            ecolor=look["color"],
            elinewidth=0.8,
            capsize=1.5,
        )
    style.mark_doubt(axes, x[rates["in_doubt"]], rates["rate"][rates["in_doubt"]])


def _title(cells: pd.DataFrame, what: str) -> str:
    first = cells.iloc[0]
    threat = f" ({first['threat']} attacker)" if first["filter"] != NO_FILTER else ""
    return f"{first['attack']} on {first['model']}, {first['dataset']}: {what}{threat}"
