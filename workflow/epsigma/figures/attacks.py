"""All attacks on a model, side by side."""

from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.brackets import condense_brackets, draw_bracket, name_brackets
from epsigma.figures.data import FigureData
from epsigma.figures.looks import NEUTRAL, sequence
from epsigma.figures.rates import condense_seeds, draw_line, name_seeds
from epsigma.vocabulary import NO_FILTER


def accuracy_by_attack(data: FigureData) -> Figure:
    """Draw the unfiltered model's accuracy over the budget, a line an attack, a panel a norm.

    All attacks of a panel are on the same images; where some have more, the panel says how many.
    With proofs, what they leave open, whatever the attack.
    """
    attacks, cells = data.rates("attacks"), data.rates("cells")
    if attacks.empty:
        return style.nothing()
    cells = cells[cells["filter"] == NO_FILTER]
    norms = list(attacks["norm"].unique())
    figure = Figure(layout="constrained", figsize=(5.6 * len(norms), 3.6))
    for axes, norm in zip(figure.subplots(1, len(norms), squeeze=False).flat, norms, strict=True):
        bounded = attacks[attacks["norm"] == norm]
        names = list(bounded["attack"].unique())
        for name, look in zip(names, sequence(len(names)), strict=True):
            rates = condense_seeds(bounded[bounded["attack"] == name], "accuracy", "budget")
            draw_line(axes, rates, label=data.name_attack(name), **look)
        proved = condense_brackets(cells[cells["norm"] == norm], "budget")
        draw_bracket(axes, proved, NEUTRAL)
        name_brackets(axes, proved)
        style.label_budget(axes, bounded)
        style.percent(axes, "accuracy")
        if (bounded["n"] < bounded["examples"]).any():
            axes.set_title(f"on the {bounded['n'].min()} images that all attacks have")
        style.legend_right(axes)
    figure.suptitle(f"Accuracy without a filter\n{data.subject}{name_seeds(attacks)}")
    return figure
