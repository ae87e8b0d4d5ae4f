"""Frequency responses of the filters against the spectra of images and perturbations."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.cell import Level
from epsigma.figures import style

# What an attack makes: its curves in the table, and what a legend calls them.
MADE = {"perturbation": "perturbation", "fooling": "fooling images"}
# Budgets of which that is drawn, and panels a row of responses.
BUDGETS = 3
COLUMNS = 2


def draw_spectrum(curves: pd.DataFrame, title: str) -> Figure:
    """Draw spectra above, and below them, on the same frequency axis, each filter's responses.

    Args:
        curves: what `epsigma.stages.spectrum` writes.
        title: over all.
    """
    filters = curves[curves["curve"] == "filter"]
    names = list(filters["name"].unique())
    rows = -(-len(names) // COLUMNS)
    figure = Figure(layout="constrained", figsize=(10.4, 3 + 2.6 * rows))
    ratios = [1.15] + [1] * rows
    grid = figure.add_gridspec(1 + rows, COLUMNS, height_ratios=ratios)
    top = figure.add_subplot(grid[0, :])
    _spectra(top, curves)
    for position, name in enumerate(names):
        axes = figure.add_subplot(grid[1 + position // COLUMNS, position % COLUMNS])
        _responses(axes, filters[filters["name"] == name], curves)
        axes.set_title(name)
    figure.suptitle(title)
    return figure


def _spectra(axes: Axes, curves: pd.DataFrame) -> None:
    images = curves[curves["curve"] == "images"]
    axes.plot(
        images["frequency"], images["amplitude"], color="black", linewidth=2, label="clean images"
    )
    made = curves[curves["curve"].isin(MADE) & (curves["amplitude"] > 0)]
    levels = sorted(made["level"].unique(), key=lambda level: Level.parse(level).value or 0)
    chosen = list(dict.fromkeys([*levels[:1], *levels[len(levels) // 2 :][:1], *levels[-1:]]))
    for level, look in zip(chosen, style.sequence(len(chosen)), strict=True):
        at = made[made["level"] == level]
        axes.plot(
            at["frequency"],
            at["amplitude"],
            **_solid(look),
            label=f"{MADE[at['curve'].iloc[0]]}, {_label(level)}",
        )
    axes.set_yscale("log")
    axes.set_ylabel("mean amplitude |F|")
    axes.set_xlabel("spatial frequency (cycles per pixel)")
    axes.set_xlim(0, 0.5)
    style.legend_right(axes)


def _responses(axes: Axes, filters: pd.DataFrame, curves: pd.DataFrame) -> None:
    levels = list(filters["level"].unique())
    for level, look in zip(levels, style.sequence(len(levels)), strict=True):
        at = filters[filters["level"] == level]
        axes.plot(
            at["frequency"],
            at["amplitude"],
            **{**_solid(look), "marker": None},
            label=_label(level),
        )
    axes.set_xlim(0, 0.5)
    axes.set_ylim(-0.03, 1.05)
    axes.set_ylabel("response")
    axes.set_xlabel("spatial frequency (cycles per pixel)")
    style.legend_right(axes)


def _solid(look: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in look.items() if key != "dashes" or value}


def _label(level: str) -> str:
    parsed = Level.parse(level)
    return style.level_label(parsed.name, parsed.value)
