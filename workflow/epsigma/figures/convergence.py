"""How the loss of an attack goes, and what trying twice as long changes."""

from typing import Any

from matplotlib.figure import Figure

from epsigma.cell import Level
from epsigma.figures import style
from epsigma.vocabulary import AWARE

# Lines that a legend has room for.
LEGEND = 16


def loss_by_step(efforts: list[dict[str, Any]], title: str) -> Figure:
    """Draw the mean loss over the steps of an attack, a line for each thing it attacks.

    Args:
        efforts: what `epsigma.stages.probe.probe_attack` found, of one data set, model, seed and
            attack; those without `losses` are left out.
        title: over all.
    """
    traced = [found for found in efforts if found.get("losses")]
    if not traced:
        return style.nothing("The attack has no loss that is followed step by step.")
    figure = Figure(layout="constrained", figsize=(7.2, 3.8))
    axes = figure.subplots()
    for found, look in zip(traced, style.sequence(len(traced)), strict=True):
        once, twice = found["errors"]
        axes.plot(
            found["steps"],
            found["losses"],
            color=look["color"],
            linestyle="-" if not look["dashes"] else (0, look["dashes"]),
            label=f"{_attacked(found['cell'])}: {once:.1%} → {twice:.1%}",
        )
    axes.set_xlabel("step")
    axes.set_ylabel("mean loss of the examples worked on")
    # Many lines: the legend would be taller than the figure.
    if len(traced) <= LEGEND:
        tried = f"{traced[0]['effort']} {traced[0]['tried'][0]} → {traced[0]['tried'][1]}"
        style.legend_right(axes, title=f"success, {tried}")
    budget = Level.parse(traced[0]["budget"])
    at = style.level_label(budget.name, budget.value)
    figure.suptitle(f"{title}: convergence at {at}")
    return figure


def _attacked(cell: dict[str, Any]) -> str:
    if cell["threat"] != AWARE:
        return "the bare model"
    strength = Level.parse(cell["strength"])
    level = "" if strength.value is None else style.level_label(strength.name, strength.value)
    return f"{cell['filter']} {level}".rstrip()
