"""Accuracy over a filter's strength: the paper's figure 3."""

from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.brackets import condense_brackets, draw_bracket, name_brackets
from epsigma.figures.data import FigureData
from epsigma.figures.looks import sequence
from epsigma.figures.rates import condense_seeds, draw_line, name_seeds
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER


def accuracy_by_strength(data: FigureData) -> Figure:
    """Draw accuracy over a filter's strength, one line a budget (the paper's figure 3).

    Against a blind attacker. The unfiltered accuracy stands apart, on the left. With proofs, what
    they leave open against an aware attacker, in the colour of the line of that budget.
    """
    everything = data.rates("cells")
    aware = everything[everything["threat"] == AWARE]
    aware = aware[aware["filter"] == data.cell["filter"]]
    cells = everything[everything["threat"] == BLIND]
    filtered = cells[cells["filter"] == data.cell["filter"]]
    if filtered.empty:
        return style.nothing()
    figure = Figure(layout="constrained", figsize=(6.4, 4))
    axes = figure.subplots()
    bare = cells[cells["filter"] == NO_FILTER]
    unfiltered = condense_seeds(bare, "accuracy", "budget")
    strengths = sorted(filtered["strength"].unique())
    apart = style.apart_from(strengths)
    budgets = sorted(cells["budget"].unique())
    proved = []
    looks = zip(
        sequence(len(budgets), data.color(data.cell["filter"])), sequence(len(budgets)), strict=True
    )
    for budget, (look, bare_look) in zip(budgets, looks, strict=True):
        at = filtered[filtered["budget"] == budget]
        if at.empty:
            continue
        rates = condense_seeds(at, "accuracy", "strength")
        label = style.level_label(cells["budget_name"].iloc[0], budget)
        draw_line(axes, rates, label=label, **look)
        none = unfiltered.loc[[budget]].set_axis([apart])
        draw_line(axes, none, **bare_look)
        ends = [apart, rates.index[0]], [none["rate"].iloc[0], rates["rate"].iloc[0]]
        axes.plot(*ends, color=look["color"], linewidth=0.5, linestyle=":")
        of_filter = condense_brackets(aware[aware["budget"] == budget], "strength")
        of_none = condense_brackets(bare[bare["budget"] == budget], "budget")
        proved += [of_filter, of_none.set_axis([apart] * len(of_none))]
        draw_bracket(axes, proved[-2], look["color"])
        draw_bracket(axes, proved[-1], bare_look["color"])
    name_brackets(axes, *proved, prefix=f"{AWARE}: ")
    style.label_strength(axes, filtered)
    style.label_apart(axes, strengths)
    style.percent(axes, style.accuracy_label(data.is_fooling))
    style.legend_right(axes)
    of = f"Accuracy through the filter {data.name_filter(data.cell['filter'])}, {BLIND} attacker"
    axes.set_title(f"{of}\n{data.title}{name_seeds(filtered)}")
    return figure
