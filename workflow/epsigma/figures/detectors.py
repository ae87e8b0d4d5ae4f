"""How well detectors tell adversarial images from clean ones."""

from collections.abc import Hashable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.figures.data import FigureData
from epsigma.figures.looks import DASHES, sequence

FILTER = ["filter", "strength_name", "strength"]


def operating_characteristics(data: FigureData) -> Figure:
    """Draw the ROC curves of a model's detectors, a row a filter's strength, a column an attack.

    At the largest budget of the attack at which there are images that fool the classifier, bare or,
    of an aware attacker, behind its filter; a shade a detector, solid for a blind attacker, dashed
    for an aware one; the thresholds that were set are markers. A filter that an attack did not meet
    has no panel there.
    """
    curves, detectors = (
        table[table["seed"] == data.settings["seed"]]
        for table in (data.table("roc"), data.table("detectors"))
    )
    if curves.empty:
        return style.nothing()
    filters = curves[FILTER].drop_duplicates().to_dict("records")
    attacks = list(dict.fromkeys(curves["attack"]))
    names = list(dict.fromkeys(curves["detector"]))
    looks = dict(zip(names, sequence(len(names)), strict=True))
    figure = Figure(
        layout="constrained", figsize=(3.3 * len(attacks) + 2.6, 3.0 * len(filters) + 0.6)
    )
    grid = figure.subplots(len(filters), len(attacks), squeeze=False, sharex=True, sharey=True)
    for row, defence in zip(grid, filters, strict=True):
        for axes, attack in zip(row, attacks, strict=True):
            where = {**defence, "attack": attack}
            lines, thresholds = _at(curves, where), _at(detectors, where)
            if thresholds.empty:
                axes.set_visible(False)
            else:
                lines = _at_largest_budget(lines)
                _draw_curves(axes, lines, thresholds, looks)
                about = f"{_name_filter(data, defence)}: {data.name_attack(attack)}"
                axes.set_title(f"{about},\n{_name_budgets(lines)}", fontsize="medium")
    for column in grid.T:
        # The numbers are below the lowest panel that there is.
        lowest = [axes for axes in column if axes.get_visible()][-1]
        lowest.tick_params(labelbottom=True)
    _label_figure(figure, looks)
    figure.suptitle(f"Detectors\n{data.subject}")
    return figure


def _at(table: pd.DataFrame, where: dict[Hashable, Any]) -> pd.DataFrame:
    """Keep the rows that have these values; empty ones are the same."""
    for key, value in where.items():
        table = table[table[key].isna() if pd.isna(value) else table[key] == value]
    return table


def _name_filter(data: FigureData, defence: dict[Hashable, Any]) -> str:
    named, strength = data.name_filter(defence["filter"]), defence["strength"]
    if pd.isna(strength):
        return named
    return f"{named}, {style.level_label(defence['strength_name'], strength)}"


def _at_largest_budget(curves: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of the largest budget of each threat."""
    if curves.empty:
        return curves
    largest = curves.groupby("threat")["budget"].transform("max")
    return curves[(curves["budget"] == largest) | largest.isna()]


def _name_budgets(curves: pd.DataFrame) -> str:
    """Name the budget that the curves are of, or that of each threat if they differ."""
    if curves.empty:
        return "nothing fools the classifier"
    of_threats = curves.groupby("threat", sort=False)[["budget_name", "budget"]].first()
    named = [style.level_label(*of_one) for of_one in of_threats.itertuples(index=False)]
    if len(set(named)) == 1:
        return named[0]
    return ", ".join(f"{threat} {one}" for threat, one in zip(of_threats.index, named, strict=True))


def _draw_curves(
    axes: Axes, curves: pd.DataFrame, thresholds: pd.DataFrame, looks: dict[str, Any]
) -> None:
    """Draw the curve of each threat and detector, and a marker at its threshold."""
    for (threat, detector), line in curves.groupby(["threat", "detector"], sort=False):
        points = (line["false_positive_rate"], line["true_positive_rate"])
        look = looks[str(detector)]
        line_of = {"color": look["color"], **DASHES[str(threat)]}
        axes.plot(*points, **line_of, drawstyle="steps-post")
        dot = thresholds[
            (thresholds["threat"] == threat)
            & (thresholds["detector"] == detector)
            & (thresholds["budget"].fillna(0) == line["budget"].fillna(0).iloc[0])
        ]
        axes.plot(dot["false_positive"], dot["true_positive"], **{**look, "linestyle": ""})
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.set_xlim(0, 1)
    style.percent(axes, "")


def _label_figure(figure: Figure, detectors: dict[str, Any]) -> None:
    figure.supylabel("attacked images rejected", fontsize="medium")
    figure.supxlabel("clean images rejected", fontsize="medium")
    looks = [{**look, "label": name} for name, look in detectors.items()]
    for threat, dashes in DASHES.items():
        looks.append({"color": "black", **dashes, "label": f"{threat} attacker"})
    style.legend_of(figure, looks)
