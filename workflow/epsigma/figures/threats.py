"""What the attacker's knowledge of the filter changes: blind against aware, and worst cases."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.curves import line, over_seeds
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

# Panels a row of small multiples.
COLUMNS = 2
# Gaps that an arrow has room in.
ARROW = 0.05

_LOOKS: dict[str, dict[str, Any]] = {
    BLIND: {"color": "#b8a038", "marker": "o", "label": "blind: does not know the filter"},
    AWARE: {
        "color": "#00224e",
        "marker": "s",
        "dashes": (4, 1.5),
        "label": "aware: attacks through the filter",
    },
}


def blind_and_aware(cells: pd.DataFrame) -> Figure:
    """Draw accuracy over each filter's strength under both threats, and name the gap.

    At one budget: the smallest that fools the unfiltered model on half of what it gets right (the
    largest, if none does). The gap stands at the strength that looks best to a blind attacker.

    Args:
        cells: rows of `cells.csv`, of one data set, model and attack, with `norm` and `in_doubt`.
    """
    budget = halving_budget(cells)
    at = cells[cells["budget"] == budget] if budget is not None else cells
    unfiltered = at[at["filter"] == NO_FILTER]
    none = unfiltered["accuracy"].mean()
    names = [name for name in at["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=False):
        filtered = at[at["filter"] == name]
        axes.axhline(none, color="black", linewidth=1, linestyle=":", label="no filter")
        if unfiltered["in_doubt"].any():
            style.mark_doubt(axes, [filtered["strength"].min()], [none])
        rates = {}
        for threat, look in _LOOKS.items():
            mine = filtered[filtered["threat"] == threat]
            if len(mine):
                rates[threat] = over_seeds(mine, "accuracy", "strength")
                line(axes, rates[threat], **look)
        if len(rates) == len(_LOOKS):
            _name_gap(axes, rates[BLIND]["rate"], rates[AWARE]["rate"])
        axes.set_title(name)
        style.label_strength(axes, filtered)
        style.percent(axes, style.accuracy_label(cells))
    # A threat may be missing from some of the panels.
    legend = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    below = figure.legend(
        legend.values(),
        legend.keys(),
        loc="outside lower center",
        ncols=len(legend) if len(names) > 1 else 1,
        # It stands where a note on doubts does.
        title=figure.get_supxlabel() or None,
    )
    below.get_title().set_color(style.DOUBT)
    figure.supxlabel("")
    first = at.iloc[0]
    level = style.level_label(first["budget_name"], budget)
    figure.suptitle(f"{first['attack']}, {level}, on {first['model']}, {first['dataset']}")
    return figure


def halving_budget(cells: pd.DataFrame) -> float | None:
    """Choose a budget by what it does without a filter, see `blind_and_aware`; None if fixed."""
    none = cells[cells["filter"] == NO_FILTER].dropna(subset=["budget"])
    if none.empty:
        return None
    success = none.groupby("budget", sort=True)["attack_success"].mean()
    enough = success[success >= 0.5]
    return float(enough.index[0] if len(enough) else success.index[-1])


def _name_gap(axes: Axes, blind: "pd.Series[float]", aware: "pd.Series[float]") -> None:
    """Measure off the difference where the filter looks best to a blind attacker."""
    both = blind.index.intersection(aware.index)
    if both.empty:
        return
    best = both[int(np.argmax(blind[both]))]
    high, low = float(blind[best]), float(aware[best])
    at_right = len(both) > 1 and best == both[-1]
    if high - low > ARROW:
        axes.annotate(
            "",
            (float(best), low),
            (float(best), high),
            arrowprops={"arrowstyle": "<->", "color": "0.3", "linewidth": 0.9},
        )
    axes.annotate(
        f"gap {100 * (high - low):z.1f} points",
        (float(best), (high + low) / 2),
        (-6, 0) if at_right else (6, 0),
        textcoords="offset points",
        va="center",
        ha="right" if at_right else "left",
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
    )


def worst_case_by_strength(worst: pd.DataFrame, norm: str) -> Figure:
    """Draw the accuracy that the best of all attacks leaves over each filter's strength.

    A row a filter, blind on the left and aware on the right, a line a budget; no filter stands
    apart on the left of each panel.

    Args:
        worst: rows of `worst_case.csv`, of one data set, model and norm, and `in_doubt`.
        norm: of the rows.
    """
    names = [name for name in worst["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    figure = Figure(layout="constrained", figsize=(10.4, 2.9 * len(names) + 0.5))
    grid = figure.subplots(len(names), 2, squeeze=False)
    budgets = sorted(worst["budget"].unique())
    for row, name in zip(grid, names, strict=True):
        strengths = sorted(worst[worst["filter"] == name]["strength"].unique())
        apart = style.apart_from(strengths)
        for axes, threat in zip(row, (BLIND, AWARE), strict=True):
            mine = worst[worst["threat"] == threat]
            for budget, look in zip(budgets, style.sequence(len(budgets)), strict=True):
                at = mine[mine["budget"] == budget]
                filtered = at[at["filter"] == name]
                if len(filtered):
                    label = style.level_label(at["budget_name"].iloc[0], budget)
                    line(axes, over_seeds(filtered, "accuracy", "strength"), label=label, **look)
                none = over_seeds(at[at["filter"] == NO_FILTER], "accuracy", "budget")
                line(axes, none.set_axis([apart]), color=look["color"], marker=look["marker"])
            style.label_strength(axes, worst[worst["filter"] == name])
            style.label_apart(axes, strengths)
            axes.set_title(f"{name}, {threat}")
            style.percent(axes, "worst-case accuracy")
        # Of the side that has lines.
        legends = [axes.get_legend_handles_labels() for axes in row]
        style.legend_right(row[1], *max(legends, key=lambda legend: len(legend[1])))
    first = worst.iloc[0]
    figure.suptitle(
        f"worst case over the {style.NORMS[norm]} attacks on {first['model']}, {first['dataset']}"
    )
    return figure


def fallen_by_budget(fallen: pd.DataFrame) -> Figure:
    """Draw the distribution of the smallest budget that fools an example, for each filter.

    The share of examples that some budget up to this one fools. Of an attack with an aware threat
    that is shown; no filter is black.

    Args:
        fallen: rows of `fallen.csv`, of one data set, model and attack, with `norm` and
            `in_doubt`.
    """
    names = [name for name in fallen["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    figure, panels = _panels(len(names))
    none = over_seeds(fallen[fallen["filter"] == NO_FILTER], "fallen", "budget")
    for axes, name in zip(panels, names, strict=False):
        filtered = fallen[fallen["filter"] == name]
        threat = AWARE if (filtered["threat"] == AWARE).any() else BLIND
        filtered = filtered[filtered["threat"] == threat]
        line(axes, none, label="none", color="black", linewidth=2, drawstyle="steps-post")
        strengths = sorted(filtered["strength"].unique())
        for strength, look in zip(strengths, style.sequence(len(strengths)), strict=True):
            rates = over_seeds(filtered[filtered["strength"] == strength], "fallen", "budget")
            label = style.level_label(filtered["strength_name"].iloc[0], strength)
            line(axes, rates, label=label, drawstyle="steps-post", **look)
        axes.set_title(f"{name}, {threat}")
        axes.set_xlabel(style.budget_label(fallen))
        style.percent(axes, "examples fallen")
        style.legend_right(axes)
    first = fallen.iloc[0]
    figure.suptitle(
        f"{first['attack']} on {first['model']}, {first['dataset']}: smallest budget that fools an "
        "example"
    )
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """Make a figure with so many panels."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(layout="constrained", figsize=(5.2 * columns, 3.2 * rows + 0.6))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]
