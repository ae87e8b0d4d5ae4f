"""How the loss of an attack goes, and what trying twice as long changes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.looks import distinguish, sequence
from epsigma.vocabulary import AWARE, BLIND, FIXED, NO_FILTER

# Lines that a column of the legend has room for, and markers that a line has at most.
LEGEND, MARKS = 16, 5


def loss_by_step(data: FigureData) -> Figure:
    """Draw the mean loss over the steps of an attack, a line for each target.

    Targets that the attack does not follow step by step are left out.
    """
    traced = [probe for probe in data.probes if probe.get("losses")]
    if not traced:
        return style.nothing("The attack has no loss that is followed step by step.")
    columns = -(-len(traced) // LEGEND)
    figure = Figure(layout="constrained", figsize=(3.8 + 3.4 * columns, 3.8))
    axes = figure.subplots()
    for probe, look in zip(traced, _choose_looks(data, traced), strict=True):
        once, twice = probe["errors"]
        label = f"{_name_target(data, probe['cell'])}: {once:.1%} → {twice:.1%}"
        every = -(-len(probe["steps"]) // MARKS)
        axes.plot(probe["steps"], probe["losses"], **look, markevery=every, label=label)
    axes.set_xlabel("step")
    style.space_levels(axes, are_counts=True)
    axes.set_ylabel("mean loss of the examples worked on")
    tried = f"{traced[0]['spends']} {traced[0]['tried'][0]} → {traced[0]['tried'][1]}"
    style.legend_right(axes, title=f"success, {tried}", columns=columns)
    at = style.spelled_label(traced[0]["budget"])
    figure.suptitle(f"Convergence at {at}\n{data.title}")
    return figure


def _choose_looks(data: FigureData, traced: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Choose the look of each line: the filter's colour, in shades of its strengths; a marker."""
    filters = [probe["cell"]["filter"] for probe in traced]
    counts = Counter(filters)
    looks = {
        name: iter(sequence(count, data.color(name), BLIND if name == NO_FILTER else AWARE))
        for name, count in counts.items()
    }
    lines = [next(looks[name]) for name in filters]
    markers = distinguish({at: line["color"] for at, line in enumerate(lines)})
    for at, line in enumerate(lines):
        yield {**line, "marker": markers[at]["marker"], "markersize": 4}


def _name_target(data: FigureData, cell: dict[str, Any]) -> str:
    """Name what is attacked: the model, or a filter before it."""
    if cell["threat"] != AWARE:
        return "no filter"
    level = "" if cell["strength"] == FIXED else style.spelled_label(cell["strength"])
    return f"{data.name_filter(cell['filter'])} {level}".rstrip()
