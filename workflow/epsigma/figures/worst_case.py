"""The worst case over all attacks on a model."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.brackets import condense_brackets, draw_bracket, has_proofs, name_brackets
from epsigma.figures.data import FigureData
from epsigma.figures.looks import sequence
from epsigma.figures.rates import condense_seeds, draw_line, name_seeds
from epsigma.tables.strengths import keep_most_attacked
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

# What tells one curve over the strength from another.
_CURVE = ["threat", "budget", "filter"]


@dataclass(frozen=True)
class _Look:
    """How a panel looks: the labels of its lines by budget, the filter's colour, the threat."""

    labels: Mapping[float, str]
    color: Any
    threat: str


def worst_case_by_strength(data: FigureData) -> Figure:
    """Draw the worst-case accuracy over each filter's strength, in the norm of most attacks.

    A row a filter, blind on the left and aware on the right, a line a budget of the strengths that
    as many attacks met as any other; no filter stands apart on the left of each panel. All attacks
    of a budget are on the same images; the legend says how many where others have more. With
    proofs, what they leave open against who knows what there is, in the colour of the line of that
    budget.
    """
    norms = Counter(norm for norm in data.settings["norms"].values() if norm)
    if not norms:
        return style.nothing()
    ((norm, _),) = norms.most_common(1)
    worst = data.rates("worst_case")
    worst = keep_most_attacked(worst[worst["norm"] == norm], "attacks", _CURVE)
    names = [name for name in worst["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    cells = data.rates("cells")
    cells = cells[cells["norm"] == norm]
    figure = Figure(layout="constrained", figsize=(10.4, 2.9 * len(names) + 0.5))
    grid = figure.subplots(len(names), 2, squeeze=False)
    budgets = sorted(worst["budget"].unique())
    labels = {
        budget: _name_line(worst[worst["budget"] == budget], cells["n"].max()) for budget in budgets
    }
    for row, name in zip(grid, names, strict=True):
        for axes, threat in zip(row, (BLIND, AWARE), strict=True):
            panel = worst[worst["filter"].isin([name, NO_FILTER])]
            axes.set_title(f"{data.name_filter(name)}, {threat}")
            if panel[(panel["filter"] == name) & (panel["threat"] == threat)].empty:
                style.leave_out(axes, f"no attack of the study is {threat} here")
                continue
            proved = cells[cells["filter"].isin([name, NO_FILTER])]
            _draw_panel(axes, panel, proved, _Look(labels, data.color(name), threat))
            style.percent(axes, "worst-case accuracy")
        # Of the side that has lines.
        legends = [axes.get_legend_handles_labels() for axes in row]
        style.legend_right(row[1], *max(legends, key=lambda legend: len(legend[1])))
    about = f"Worst case over the attacks in {style.NORMS[norm]}"
    figure.suptitle(f"{about}\n{data.subject}{name_seeds(worst)}")
    return figure


def _name_line(at: pd.DataFrame, most: int) -> str:
    """Name the budget of a line for a legend, and of how many images it is if others have more."""
    n = at["n"].max()
    label = style.level_label(at["budget_name"].iloc[0], at["budget"].iloc[0])
    return f"{label} ({n:.0f} images)" if n < most else label


def _draw_panel(axes: Axes, worst: pd.DataFrame, cells: pd.DataFrame, panel: _Look) -> None:
    """Draw a filter under a threat, a line a budget, with its brackets; no filter is apart."""
    threat, budgets = panel.threat, list(panel.labels)
    looks = sequence(len(budgets), panel.color, threat)
    filtered = worst[worst["filter"] != NO_FILTER]
    strengths = sorted(filtered["strength"].unique())
    apart = style.apart_from(strengths)
    shown, proofs = [], has_proofs(cells)
    for budget, look, bare_look in zip(budgets, looks, sequence(len(budgets)), strict=True):
        at = worst[(worst["threat"] == threat) & (worst["budget"] == budget)]
        bare = at["filter"] == NO_FILTER
        if not bare.all():
            rates = condense_seeds(at[~bare], "accuracy", "strength")
            draw_line(axes, rates, label=panel.labels[budget], **look)
        none = condense_seeds(at[bare], "accuracy", "budget").set_axis([apart])
        draw_line(axes, none, **bare_look)
        if not proofs:
            continue
        proved = cells[cells["budget"] == budget]
        bare = proved["filter"] == NO_FILTER
        of_none = condense_brackets(proved[bare], "budget")
        of_filter = condense_brackets(proved[~bare & (proved["threat"] == threat)], "strength")
        of_none = of_none.set_axis([apart] * len(of_none))
        draw_bracket(axes, of_filter, look["color"])
        draw_bracket(axes, of_none, bare_look["color"])
        shown += [of_filter, of_none]
    name_brackets(axes, *shown)
    style.label_strength(axes, filtered)
    style.label_apart(axes, strengths)
