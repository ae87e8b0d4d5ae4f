"""The figure that settles it: what each defence keeps, against what it costs."""

from itertools import cycle

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from epsigma.figures import style
from epsigma.vocabulary import NO_FILTER

# Under which column of `defences.csv` an attacker is, and what he knows.
ATTACKERS = {
    "blind": "blind: knows the undefended model",
    "aware": "aware: knows the defence",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*", "p", "h", "d", "8")
COST = "microseconds_1000"
# Of each power of ten.
TICKS = (1, 1.5, 2, 3, 5, 7)


def accuracy_against_cost(defences: pd.DataFrame) -> Figure:
    """Draw the accuracy under the worst of all attacks against the time an image takes.

    A row a budget at which filters are attacked by who knows them (all, if none is), one attacker
    on the left and the other on the right; a colour a model, a marker a filter. Of a filter's
    strengths the one is shown that keeps most from an aware attacker.

    Args:
        defences: rows of `defences.csv`, of one data set and norm.
    """
    shown = best_strengths(defences)
    # Where no filter meets an attacker who knows it, there is nothing to set side by side.
    settled = shown[(shown["filter"] != NO_FILTER) & shown["aware"].notna()]["budget"]
    shown = shown[shown["budget"].isin(settled)] if len(settled) else shown
    budgets = sorted(shown["budget"].unique())
    if not budgets:
        return style.nothing()
    models, filters = (list(dict.fromkeys(shown[name])) for name in ("model", "filter"))
    # Models have no order: hues that the colour-blind tell apart.
    colours = dict(zip(models, cycle(sns.color_palette("colorblind")), strict=False))
    markers = dict(zip(filters, cycle(MARKERS), strict=False))
    figure = Figure(layout="constrained", figsize=(11.5, 3.3 * len(budgets) + 0.6))
    grid = figure.subplots(len(budgets), 2, squeeze=False, sharex=True)
    for row, budget in zip(grid, budgets, strict=True):
        here = shown[shown["budget"] == budget]
        level = style.level_label(here["budget_name"].iloc[0], budget)
        for axes, (attacker, title) in zip(row, ATTACKERS.items(), strict=True):
            _points(axes, here.dropna(subset=[attacker, COST]), attacker, colours, markers)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=TICKS))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            style.percent(axes, "worst-case accuracy")
            axes.set_title(f"{level}, {title}", fontsize="medium")
    for axes in grid[-1]:
        axes.set_xlabel("µs an image on one core, in batches of 1,000")
    looks = [{"color": colour, "marker": "o", "label": name} for name, colour in colours.items()]
    looks += [
        {"color": "0.4", "marker": marker, "label": "no filter" if name == NO_FILTER else name}
        for name, marker in markers.items()
    ]
    style.legend_of(figure, [{**look, "linestyle": ""} for look in looks])
    first = shown.iloc[0]
    figure.suptitle(f"{first['dataset']}: what a defence keeps ({style.NORMS[first['norm']]})")
    return figure


def best_strengths(defences: pd.DataFrame) -> pd.DataFrame:
    """Choose, of each model, filter and budget, the strength of the highest aware accuracy.

    Where no attacker is aware, that of the highest blind one. Seeds are averaged, and the interval
    is that of one, or the range over several.
    """
    several = defences["seed"].nunique() > 1
    keys = ["dataset", "norm", "budget_name", "budget", "model", "filter", "strength"]
    groups = defences.groupby(keys, dropna=False, sort=False)
    means = {COST: groups[COST].mean()}
    for attacker in ATTACKERS:
        means[attacker] = groups[attacker].mean()
        means[f"{attacker}_low"] = groups[attacker if several else f"{attacker}_low"].min()
        means[f"{attacker}_high"] = groups[attacker if several else f"{attacker}_high"].max()
    table = pd.DataFrame(means).reset_index()
    known = table["aware"].fillna(table["blind"])
    rank = known.groupby([table[name] for name in keys[:-1]], dropna=False, sort=False)
    return table[known == rank.transform("max")].drop_duplicates(keys[:-1])


def _points(
    axes: Axes,
    here: pd.DataFrame,
    attacker: str,
    colours: dict[str, object],
    markers: dict[str, str],
) -> None:
    for _, row in here.iterrows():
        rate = row[attacker]
        below, above = rate - row[f"{attacker}_low"], row[f"{attacker}_high"] - rate
        axes.errorbar(
            row[COST],
            rate,
            # Rounding can put a bound of a rate of 0 or 1 a hair on its wrong side.
            yerr=np.clip([[below], [above]], 0, None),
            color=colours[row["model"]],
            marker=markers[row["filter"]],
            markersize=6,
            alpha=0.85,
            elinewidth=0.8,
            capsize=1.5,
        )
