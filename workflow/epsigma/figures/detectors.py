"""How well detectors tell attacked images from clean ones."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from epsigma.figures import style
from epsigma.vocabulary import AWARE, BLIND

DASHES: dict[str, Any] = {BLIND: "-", AWARE: "--"}


def operating_characteristics(curves: pd.DataFrame, detectors: pd.DataFrame) -> Figure:
    """Draw the ROC curves of detectors, a row a filter that they look on at, a column an attack.

    At the largest budget of the attack at which there are images that fool the bare classifier; a
    colour a detector, solid for a blind attacker, dashed for an aware one; the thresholds that were
    set are dots. The false positive rate is logarithmic.

    A filter that an attack did not meet has no panel there.

    Args:
        curves: rows of `roc.csv`, of one data set, model and seed.
        detectors: rows of `detectors.csv`, likewise.
    """
    if curves.empty:
        return style.nothing()
    filters, attacks = (list(dict.fromkeys(curves[name])) for name in ("filter", "attack"))
    names = list(dict.fromkeys(curves["detector"]))
    colours = dict(zip(names, (look["color"] for look in style.sequence(len(names))), strict=True))
    figure = Figure(
        layout="constrained", figsize=(3.3 * len(attacks) + 2.6, 3.0 * len(filters) + 0.6)
    )
    grid = figure.subplots(len(filters), len(attacks), squeeze=False, sharex=True, sharey=True)
    for row, name in zip(grid, filters, strict=True):
        for axes, attack in zip(row, attacks, strict=True):
            mine = _largest(curves[(curves["filter"] == name) & (curves["attack"] == attack)])
            set_at = detectors[(detectors["filter"] == name) & (detectors["attack"] == attack)]
            if set_at.empty:
                axes.set_visible(False)
                continue
            for (threat, detector), line in mine.groupby(["threat", "detector"], sort=False):
                axes.plot(
                    line["false_positive_rate"],
                    line["true_positive_rate"],
                    color=colours[str(detector)],
                    linestyle=DASHES[str(threat)],
                    drawstyle="steps-post",
                )
                dot = set_at[
                    (set_at["threat"] == threat)
                    & (set_at["detector"] == detector)
                    & (set_at["budget"].fillna(0) == line["budget"].fillna(0).iloc[0])
                ]
                axes.plot(
                    dot["false_positive"], dot["true_positive"], "o", color=colours[str(detector)]
                )
            axes.set_xscale("symlog", linthresh=1e-3)
            axes.set_xlim(0, 1)
            style.percent(axes, "")
            level = (
                style.level_label(mine["budget_name"].iloc[0], mine["budget"].iloc[0])
                if len(mine)
                else "nothing fools the classifier"
            )
            axes.set_title(f"{name}: {attack},\n{level}", fontsize="medium")
    for column in grid.T:
        # The numbers are below the lowest panel that there is.
        lowest = [axes for axes in column if axes.get_visible()][-1]
        lowest.tick_params(labelbottom=True)
    figure.supylabel("attacked images rejected", fontsize="medium")
    figure.supxlabel("clean images rejected", fontsize="medium")
    style.legend_of(
        figure,
        [{"color": colour, "label": name} for name, colour in colours.items()]
        + [
            {"color": "black", "linestyle": dashes, "label": f"{threat} attacker"}
            for threat, dashes in DASHES.items()
        ],
    )
    first = curves.iloc[0]
    figure.suptitle(f"{first['model']}, {first['dataset']}: detectors")
    return figure


def _largest(curves: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of the largest budget of each threat."""
    if curves.empty:
        return curves
    largest = curves.groupby("threat")["budget"].transform("max")
    return curves[(curves["budget"] == largest) | largest.isna()]
