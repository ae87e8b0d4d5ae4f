"""What the attacker's knowledge of the filter changes: blind against aware."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.brackets import condense_brackets, draw_bracket, name_brackets
from epsigma.figures.data import FigureData
from epsigma.figures.rates import condense_seeds, draw_line
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

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


def blind_and_aware(data: FigureData) -> Figure:
    """Draw accuracy over each filter's strength under both threats, and name the gap.

    At one budget: the smallest that fools the unfiltered model on half of what it gets right (the
    largest, if none does). The gap stands at the strength that looks best to a blind attacker.
    With proofs, what they leave open against the aware attacker.
    """
    cells = data.rates("cells")
    budget = halving_budget(cells)
    at = cells[cells["budget"] == budget] if budget is not None else cells
    unfiltered = at[at["filter"] == NO_FILTER]
    none = unfiltered["accuracy"].mean()
    names = [name for name in at["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    figure, panels = style.panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        filtered = at[at["filter"] == name]
        axes.axhline(none, color="black", linewidth=1, linestyle=":", label="no filter")
        if unfiltered["in_doubt"].any():
            style.mark_doubt(axes, [filtered["strength"].min()], [none])
        _draw_threats(axes, filtered)
        axes.set_title(name)
        style.label_strength(axes, filtered)
        style.percent(axes, style.accuracy_label(data.is_fooling))
    _put_legend_below(figure, panels)
    first = at.iloc[0]
    level = style.level_label(first["budget_name"], budget)
    figure.suptitle(f"{first['attack']}, {level}, on {data.cell['model']}, {data.cell['dataset']}")
    return figure


def halving_budget(cells: pd.DataFrame) -> float | None:
    """Choose a budget by what it does without a filter, see `blind_and_aware`; None if fixed."""
    none = cells[cells["filter"] == NO_FILTER].dropna(subset=["budget"])
    if none.empty:
        return None
    success = none.groupby("budget", sort=True)["attack_success"].mean()
    enough = success[success >= 0.5]
    return float(enough.index[0] if len(enough) else success.index[-1])


def _draw_threats(axes: Axes, filtered: pd.DataFrame) -> None:
    """Draw a line a threat; if both are there, the gap between them."""
    rates = {}
    for threat, look in _LOOKS.items():
        cells = filtered[filtered["threat"] == threat]
        if len(cells):
            rates[threat] = condense_seeds(cells, "accuracy", "strength")
            draw_line(axes, rates[threat], **look)
    proved = condense_brackets(filtered[filtered["threat"] == AWARE], "strength")
    draw_bracket(axes, proved, _LOOKS[AWARE]["color"])
    name_brackets(axes, proved, color=_LOOKS[AWARE]["color"])
    if len(rates) == len(_LOOKS):
        _name_gap(axes, rates[BLIND]["rate"], rates[AWARE]["rate"])


def _name_gap(axes: Axes, blind: "pd.Series[float]", aware: "pd.Series[float]") -> None:
    """Measure off the difference where the filter looks best to a blind attacker."""
    both = blind.index.intersection(aware.index)
    if both.empty:
        return
    best = both[int(np.argmax(blind[both]))]
    high, low = float(blind[best]), float(aware[best])
    at_right = len(both) > 1 and best == both[-1]
    if high - low > ARROW:
        arrow = {"arrowstyle": "<->", "color": "0.3", "linewidth": 0.9}
        axes.annotate("", (float(best), low), (float(best), high), arrowprops=arrow)
    axes.annotate(
        f"gap {100 * (high - low):z.1f} points",
        (float(best), (high + low) / 2),
        (-6, 0) if at_right else (6, 0),
        textcoords="offset points",
        va="center",
        ha="right" if at_right else "left",
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.8, "linewidth": 0},
    )


def _put_legend_below(figure: Figure, panels: list[Axes]) -> None:
    """Put one legend below all panels, and in it the note on doubts, which stands there, too."""
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
        ncols=len(legend) if len(panels) > 1 else 1,
        title=figure.get_supxlabel() or None,
    )
    below.get_title().set_color(style.DOUBT)
    figure.supxlabel("")
