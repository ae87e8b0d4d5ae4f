"""How the loss of an attack goes, and what trying twice as long changes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.looks import sequence
from epsigma.vocabulary import AWARE, BLIND, FIXED, NO_FILTER

# Lines that a legend has room for.
LEGEND = 16


def loss_by_step(data: FigureData) -> Figure:
    """Draw the mean loss over the steps of an attack, a line for each target.

    Targets that the attack does not follow step by step are left out.
    """
    traced = [probe for probe in data.probes if probe.get("losses")]
    if not traced:
        return style.nothing("The attack has no loss that is followed step by step.")
    figure = Figure(layout="constrained", figsize=(7.2, 3.8))
    axes = figure.subplots()
    for probe, look in zip(traced, _choose_looks(data, traced), strict=True):
        once, twice = probe["errors"]
        label = f"{_name_target(data, probe['cell'])}: {once:.1%} → {twice:.1%}"
        axes.plot(probe["steps"], probe["losses"], **look, label=label)
    axes.set_xlabel("step")
    style.space_levels(axes, are_counts=True)
    axes.set_ylabel("mean loss of the examples worked on")
    # Many lines: the legend would be taller than the figure.
    if len(traced) <= LEGEND:
        tried = f"{traced[0]['spends']} {traced[0]['tried'][0]} → {traced[0]['tried'][1]}"
        style.legend_right(axes, title=f"success, {tried}")
    at = style.spelled_label(traced[0]["budget"])
    figure.suptitle(f"Convergence at {at}\n{data.title}")
    return figure


def _choose_looks(data: FigureData, traced: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Choose the look of each line: the filter's colour, in shades of its strengths."""
    filters = [probe["cell"]["filter"] for probe in traced]
    counts = Counter(filters)
    looks = {
        name: iter(sequence(count, data.color(name), BLIND if name == NO_FILTER else AWARE))
        for name, count in counts.items()
    }
    for name in filters:
        yield {**next(looks[name]), "marker": None}


def _name_target(data: FigureData, cell: dict[str, Any]) -> str:
    """Name what is attacked: the model, or a filter before it."""
    if cell["threat"] != AWARE:
        return "no filter"
    level = "" if cell["strength"] == FIXED else style.spelled_label(cell["strength"])
    return f"{data.name_filter(cell['filter'])} {level}".rstrip()
