"""Rates over an attack's budget: the paper's figures 1 and 4, and minimum budgets."""

from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.brackets import condense_brackets, draw_bracket, name_brackets
from epsigma.figures.data import FigureData
from epsigma.figures.rates import condense_seeds, draw_line, name_seeds, split_by_strength
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

NONE = "no filter"


def accuracy_by_budget(data: FigureData) -> Figure:
    """Draw the unfiltered model's accuracy over the attack's budget (the paper's figure 1).

    With proofs, and what they leave open.
    """
    cells = data.rates("cells")
    unfiltered = cells[cells["filter"] == NO_FILTER]
    if unfiltered.empty:
        return style.nothing()
    figure = Figure(layout="constrained", figsize=(5.2, 3.4))
    axes = figure.subplots()
    rates = condense_seeds(unfiltered, "accuracy", "budget")
    draw_line(axes, rates, label="no filter", color="black", marker="o")
    proved = condense_brackets(unfiltered, "budget")
    draw_bracket(axes, proved, "black")
    name_brackets(axes, proved, color="black")
    if len(proved):
        axes.legend()
    for budget, rate in zip(rates.index, rates["rate"], strict=True):
        axes.annotate(
            f"{rate:.1%}", (budget, rate), (4, 6), textcoords="offset points", fontsize="small"
        )
    style.label_budget(axes, unfiltered)
    # Room for the last number.
    axes.margins(x=0.09)
    style.percent(axes, style.accuracy_label(data.is_fooling))
    axes.set_title(f"Accuracy without a filter\n{data.title}{name_seeds(unfiltered)}")
    return figure


def success_by_budget(data: FigureData) -> Figure:
    """Draw attack success over the budget, with and without each filter (the paper's figure 4).

    A panel a filter, against a blind attacker: the unfiltered model in black, the filter's
    strengths in its colour, from light to dark.
    """
    cells = data.rates("cells")
    cells = cells[cells["threat"] == BLIND]
    names = [name for name in cells["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    figure, panels = style.panels(len(names), margin=0.3)
    unfiltered = condense_seeds(cells[cells["filter"] == NO_FILTER], "attack_success", "budget")
    for axes, name in zip(panels, names, strict=True):
        filtered = cells[cells["filter"] == name]
        draw_line(axes, unfiltered, label=NONE, color="black", marker=None, linewidth=2)
        for label, look, at in split_by_strength(filtered, data.color(name), BLIND):
            draw_line(axes, condense_seeds(at, "attack_success", "budget"), label=label, **look)
        axes.set_title(data.name_filter(name))
        style.label_budget(axes, cells)
        style.percent(axes, "attack success")
        style.legend_right(axes)
    figure.suptitle(f"Success of the {BLIND} attacker\n{data.title}{name_seeds(cells)}")
    return figure


def minimum_budgets(data: FigureData) -> Figure:
    """Draw the distribution of the minimum budget that fools an example, for each filter.

    The share of the examples that some budget of the grid up to this one fools. A filter is shown
    against an aware attacker, if there is one; no filter is black.
    """
    fooled = data.rates("fallen")
    names = [name for name in fooled["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    figure, panels = style.panels(len(names))
    none = condense_seeds(fooled[fooled["filter"] == NO_FILTER], "fallen", "budget")
    steps = "steps-post"
    for axes, name in zip(panels, names, strict=True):
        filtered = fooled[fooled["filter"] == name]
        threat = AWARE if (filtered["threat"] == AWARE).any() else BLIND
        draw_line(axes, none, label=NONE, color="black", linewidth=2, drawstyle=steps)
        met = filtered[filtered["threat"] == threat]
        for label, look, at in split_by_strength(met, data.color(name), threat):
            rates = condense_seeds(at, "fallen", "budget")
            draw_line(axes, rates, label=label, drawstyle=steps, **look)
        axes.set_title(f"{data.name_filter(name)}, {threat}")
        style.label_budget(axes, fooled)
        style.percent(axes, "examples fooled")
        style.legend_right(axes)
    figure.suptitle(f"Smallest budget that fools an example\n{data.title}{name_seeds(fooled)}")
    return figure
