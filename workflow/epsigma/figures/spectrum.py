"""Frequency responses of the filters against the spectra of images and perturbations."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.cell import Level
from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.looks import sequence
from epsigma.vocabulary import FOOLING

# What an attack makes: its curves in the table, and what a legend calls them.
MADE = {"perturbation": "perturbation", FOOLING: "fooling images"}

# Marks along a curve, about: of large images it has hundreds of points.
MARKS = 15


def spectra_and_responses(data: FigureData) -> Figure:
    """Draw spectra above, and below them, on the same frequency axis, each filter's responses."""
    curves = data.table("spectrum")
    filters = curves[curves["curve"] == "filter"]
    names = list(filters["name"].unique())
    rows = [len(row) for row in style.split_rows(names)]
    width = max([8.0, *(style.WIDTHS[count] * count for count in rows)])
    figure = Figure(layout="constrained", figsize=(width, 3 + 2.6 * len(rows)))
    heights = [1.15] + [1] * len(rows)
    grid = figure.add_gridspec(len(heights), math.lcm(*rows), height_ratios=heights)
    _draw_spectra(figure.add_subplot(grid[0, :]), curves)
    for axes, name in zip(style.fill_rows(figure, grid, rows, first=1), names, strict=True):
        _draw_responses(axes, filters[filters["name"] == name], data.color(name))
        axes.set_title(data.name_filter(name))
    figure.suptitle(f"Spectra of images and attack, responses of filters\n{data.title}")
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
    for level, look in zip(shown, sequence(len(shown)), strict=True):
        at = made[made["level"] == level]
        label = f"{MADE[at['curve'].iloc[0]]}, {style.spelled_label(level)}"
        spaced = max(1, len(at) // MARKS)
        axes.plot(at["frequency"], at["amplitude"], **look, markevery=spaced, label=label)
    axes.set_yscale("log")
    axes.set_ylabel("mean amplitude |F|")
    _finish_frequency_axis(axes)


def _draw_responses(axes: Axes, responses: pd.DataFrame, color: Any) -> None:
    """Draw the responses of a filter, a line a strength."""
    levels = list(responses["level"].unique())
    for level, look in zip(levels, sequence(len(levels), color), strict=True):
        at = responses[responses["level"] == level]
        label = style.spelled_label(level)
        axes.plot(at["frequency"], at["amplitude"], **{**look, "marker": None}, label=label)
    axes.set_ylim(-0.03, 1.05)
    place = axes.get_subplotspec()
    axes.set_ylabel("response" if place is None or place.is_first_col() else "")
    _finish_frequency_axis(axes)


def _finish_frequency_axis(axes: Axes) -> None:
    axes.set_xlim(0, 0.5)
    axes.set_xlabel("frequency (cycles per pixel)")
    style.space_levels(axes)
    style.legend_right(axes)
