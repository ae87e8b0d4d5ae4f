"""The worst case over all attacks on a model."""

from collections import Counter

from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.rates import condense_seeds, draw_line
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER


def worst_case_by_strength(data: FigureData) -> Figure:
    """Draw the worst-case accuracy over each filter's strength, in the norm of most attacks.

    A row a filter, blind on the left and aware on the right, a line a budget; no filter stands
    apart on the left of each panel.
    """
    norms = Counter(norm for norm in data.settings["norms"].values() if norm)
    if not norms:
        return style.nothing()
    ((norm, _),) = norms.most_common(1)
    worst = data.rates("worst_case")
    worst = worst[worst["norm"] == norm]
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
            of_threat = worst[worst["threat"] == threat]
            for budget, look in zip(budgets, style.sequence(len(budgets)), strict=True):
                at = of_threat[of_threat["budget"] == budget]
                filtered = at[at["filter"] == name]
                if len(filtered):
                    label = style.level_label(at["budget_name"].iloc[0], budget)
                    rates = condense_seeds(filtered, "accuracy", "strength")
                    draw_line(axes, rates, label=label, **look)
                none = condense_seeds(at[at["filter"] == NO_FILTER], "accuracy", "budget")
                none = none.set_axis([apart])
                draw_line(axes, none, color=look["color"], marker=look["marker"])
            style.label_strength(axes, worst[worst["filter"] == name])
            style.label_apart(axes, strengths)
            axes.set_title(f"{name}, {threat}")
            style.percent(axes, "worst-case accuracy")
        # Of the side that has lines.
        legends = [axes.get_legend_handles_labels() for axes in row]
        style.legend_right(row[1], *max(legends, key=lambda legend: len(legend[1])))
    about = f"{style.NORMS[norm]} attacks on {data.cell['model']}, {data.cell['dataset']}"
    figure.suptitle(f"worst case over the {about}")
    return figure
