"""Certified accuracy of the vote over noise over the radius, beside accuracy under ℓ2 attacks."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.looks import DASHES, NEUTRAL
from epsigma.figures.rates import condense_seeds, draw_line, name_seeds
from epsigma.vocabulary import AWARE, BLIND

_CERTIFIED: dict[str, Any] = {"color": "black", "marker": "D", "label": "vote, certified"}
_DRAW: dict[str, Any] = {"color": "0.45", "linestyle": ":", "label": "one draw, certified"}
_ATTACKED: dict[str, dict[str, Any]] = {
    BLIND: {"marker": "o", **DASHES[BLIND], "label": "one draw, blind attack"},
    AWARE: {"marker": "s", **DASHES[AWARE], "label": "one draw, aware attack"},
}


def certified_by_radius(data: FigureData) -> Figure:
    """Draw, over the radius in ℓ2, what is certified and what the strongest attack leaves.

    A panel a noise filter and strength. Of one draw the truth lies between what is certified of it
    and what an attack leaves; the vote is another classifier.
    """
    rows = data.rates("smoothed")
    if rows.empty:
        return style.nothing()
    grouped = rows.groupby(["filter", "strength_name", "strength"], sort=False)
    defences = [found for _, found in grouped]
    figure, panels = style.panels(len(defences), margin=0.9)
    for axes, found in zip(panels, defences, strict=True):
        first = found.iloc[0]
        strength = style.level_label(first["strength_name"], first["strength"])
        _draw_defence(axes, found, data.color(first["filter"]))
        axes.set_title(f"{data.name_filter(first['filter'])}, {strength}")
        axes.set_xlabel(style.axis_label("eps", "l2"))
        style.space_levels(axes)
        style.percent(axes, "accuracy")
    color = data.color(rows["filter"].iloc[0]) if rows["filter"].nunique() == 1 else NEUTRAL
    attacked = [{**look, "color": color} for look in _ATTACKED.values()]
    style.legend_of(figure, [_CERTIFIED, _DRAW, *attacked])
    figure.suptitle(f"Randomised smoothing\n{data.subject}{name_seeds(rows)}")
    return figure


def _draw_defence(axes: Axes, rows: pd.DataFrame, color: Any) -> None:
    # What is certified stands in a row of each attack, and is in doubt if one of them contradicts.
    draw_line(axes, condense_seeds(rows, "certified", "radius"), **_CERTIFIED)
    of_draw = rows.groupby("radius")["certified_draw"].mean()
    axes.plot(of_draw.index, of_draw, **_DRAW)
    for threat, look in _ATTACKED.items():
        attacked = rows[rows["threat"] == threat].reset_index(drop=True)
        if len(attacked):
            # The same on every seed: of the mean there is an interval.
            means = attacked.groupby(["radius", "attack"], sort=False)["accuracy"].mean()
            strongest = set(means.groupby(level="radius").idxmin())
            is_strongest = [
                pair in strongest
                for pair in zip(attacked["radius"], attacked["attack"], strict=True)
            ]
            rates = condense_seeds(attacked[is_strongest], "accuracy", "radius")
            draw_line(axes, rates, color=color, **look)
