"""Frequency responses of the filters against the spectra of images and perturbations."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.cell import Level
from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.vocabulary import FOOLING

# What an attack makes: its curves in the table, and what a legend calls them.
MADE = {"perturbation": "perturbation", FOOLING: "fooling images"}


def spectra_and_responses(data: FigureData) -> Figure:
    """Draw spectra above, and below them, on the same frequency axis, each filter's responses."""
    curves = data.table("spectrum")
    filters = curves[curves["curve"] == "filter"]
    names = list(filters["name"].unique())
    rows = -(-len(names) // style.COLUMNS)
    figure = Figure(layout="constrained", figsize=(10.4, 3 + 2.6 * rows))
    grid = figure.add_gridspec(1 + rows, style.COLUMNS, height_ratios=[1.15] + [1] * rows)
    _draw_spectra(figure.add_subplot(grid[0, :]), curves)
    for position, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + position // style.COLUMNS, position % style.COLUMNS])
        _draw_responses(axes, filters[filters["name"] == name])
        axes.set_title(name)
    figure.suptitle(data.title)
    return figure


def _draw_spectra(axes: Axes, curves: pd.DataFrame) -> None:
    """Draw the clean images and what the attack makes: at its first, middle and last budget."""
    images = curves[curves["curve"] == "images"]
    axes.plot(
        images["frequency"], images["amplitude"], color="black", linewidth=2, label="clean images"
    )
    made = curves[curves["curve"].isin(MADE) & (curves["amplitude"] > 0)]
    levels = sorted(made["level"].unique(), key=lambda level: Level.parse(level).value or 0)
    shown = list(dict.fromkeys([*levels[:1], *levels[len(levels) // 2 :][:1], *levels[-1:]]))
    for level, look in zip(shown, style.sequence(len(shown)), strict=True):
        at = made[made["level"] == level]
        label = f"{MADE[at['curve'].iloc[0]]}, {style.spelled_label(level)}"
        axes.plot(at["frequency"], at["amplitude"], **look, label=label)
    axes.set_yscale("log")
    axes.set_ylabel("mean amplitude |F|")
    _finish_frequency_axis(axes)


def _draw_responses(axes: Axes, responses: pd.DataFrame) -> None:
    """Draw the responses of a filter, a line a strength."""
    levels = list(responses["level"].unique())
    for level, look in zip(levels, style.sequence(len(levels)), strict=True):
        at = responses[responses["level"] == level]
        label = style.spelled_label(level)
        axes.plot(at["frequency"], at["amplitude"], **{**look, "marker": None}, label=label)
    axes.set_ylim(-0.03, 1.05)
    axes.set_ylabel("response")
    _finish_frequency_axis(axes)


def _finish_frequency_axis(axes: Axes) -> None:
    axes.set_xlim(0, 0.5)
    axes.set_xlabel("spatial frequency (cycles per pixel)")
    style.legend_right(axes)
