"""What the attacker's knowledge of the filter changes: blind against aware."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from epsigma.figures import style
from epsigma.figures.brackets import condense_brackets, draw_bracket, name_brackets
from epsigma.figures.data import FigureData
from epsigma.figures.looks import DASHES, NEUTRAL
from epsigma.figures.rates import condense_seeds, draw_line, name_seeds
from epsigma.vocabulary import AWARE, BLIND, FIXED, NO_FILTER

# Gaps that an arrow has room in.
ARROW = 0.05

_LOOKS: dict[str, dict[str, Any]] = {
    BLIND: {"marker": "o", **DASHES[BLIND], "label": "blind: does not know the filter"},
    AWARE: {"marker": "s", **DASHES[AWARE], "label": "aware: attacks through the filter"},
}


def blind_and_aware(data: FigureData) -> Figure:
    """Draw accuracy over each filter's strength under both threats, and name the gap.

    At one budget: the smallest that fools the unfiltered model on half of what it gets right (the
    largest, if none does). The gap, an arrow and a figure in the title, is at the strength
    that `headline.csv` has for a blind attacker, which validation images have chosen, and is
    measured on the others. Fooling images have no headline, and no gap is named. With proofs, what
    they leave open against the aware attacker.
    """
    cells = data.rates("cells")
    budget = halving_budget(cells)
    at = cells[cells["budget"] == budget] if budget is not None else cells
    unfiltered = at[at["filter"] == NO_FILTER]
    none = unfiltered["accuracy"].mean()
    names = [name for name in at["filter"].unique() if name != NO_FILTER]
    if not names:
        return style.nothing()
    gaps = _gaps_at(data.table("headline"), budget)
    figure, panels = style.panels(len(names))
    for axes, name in zip(panels, names, strict=True):
        filtered = at[at["filter"] == name]
        axes.axhline(none, color="black", linewidth=1, linestyle=":", label="no filter")
        if unfiltered["in_doubt"].any():
            style.mark_doubt(axes, [filtered["strength"].min()], [none])
        gap = gaps[gaps["filter"] == name]
        _draw_threats(axes, filtered, gap, data.color(name))
        axes.set_title(data.name_filter(name) + _name_gap(gap, filtered))
        style.label_strength(axes, filtered)
        style.percent(axes, style.accuracy_label(data.is_fooling))
    _put_legend_below(figure, panels)
    level = style.level_label(at["budget_name"].iloc[0], budget)
    about = f"Attackers who know the filter, and who do not, at {level}"
    figure.suptitle(f"{about}\n{data.title}{name_seeds(at)}")
    return figure


def halving_budget(cells: pd.DataFrame) -> float | None:
    """Choose a budget by what it does without a filter, see `blind_and_aware`; None if fixed."""
    none = cells[cells["filter"] == NO_FILTER].dropna(subset=["budget"])
    if none.empty:
        return None
    success = none.groupby("budget", sort=True)["attack_success"].mean()
    enough = success[success >= 0.5]
    return float(enough.index[0] if len(enough) else success.index[-1])


def _gaps_at(headline: pd.DataFrame, budget: float | None) -> pd.DataFrame:
    """Select the rows that name a gap at a budget: those of blind attackers with aware twins."""
    budgets = headline["budget"]
    is_here = budgets.isna() if budget is None else budgets == budget
    gaps = headline[is_here & (headline["best_for"] == BLIND)].dropna(subset=[BLIND, AWARE])
    # A filter without a strength is drawn at 0.
    return gaps.assign(strength=gaps["strength"].astype(float).fillna(0.0))


def _draw_threats(axes: Axes, filtered: pd.DataFrame, gaps: pd.DataFrame, color: Any) -> None:
    """Draw a line a threat, and an arrow between them where the headline has a gap."""
    rates = {}
    for threat, look in _LOOKS.items():
        cells = filtered[filtered["threat"] == threat]
        if len(cells):
            rates[threat] = condense_seeds(cells, "accuracy", "strength")
            draw_line(axes, rates[threat], color=color, **look)
    proved = condense_brackets(filtered[filtered["threat"] == AWARE], "strength")
    draw_bracket(axes, proved, color)
    name_brackets(axes, proved)
    for _, chosen in gaps.iterrows():
        at = chosen["strength"]
        high, low = (float(rates[threat]["rate"][at]) for threat in (BLIND, AWARE))
        if high - low > ARROW:
            arrow = {"arrowstyle": "<->", "color": "0.3", "linewidth": 0.9}
            axes.annotate("", (at, low), (at, high), arrowprops=arrow)


def _name_gap(gaps: pd.DataFrame, filtered: pd.DataFrame) -> str:
    """Say in a line below a title how wide the gap is, and at which strength."""
    if gaps.empty:
        return ""
    chosen = gaps.iloc[0]
    at = style.level_label(filtered["strength_name"].iloc[0], chosen["strength"])
    where = "" if at == FIXED else f" at {at}"
    return f"\ngap {100 * (chosen[BLIND] - chosen[AWARE]):z.1f} points{where}"


def _put_legend_below(figure: Figure, panels: list[Axes]) -> None:
    """Put one legend below all panels, and in it the note on doubts, which stands there, too."""
    # A threat may be missing from some of the panels.
    shown = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    # The panels have the colours of their filters.
    looks = {look["label"]: {**look, "color": NEUTRAL} for look in _LOOKS.values()}
    handles = [Line2D([], [], **looks[one]) if one in looks else shown[one] for one in shown]
    below = figure.legend(
        handles,
        list(shown),
        loc="outside lower center",
        ncols=len(shown) if len(panels) > 1 else 1,
        title=figure.get_supxlabel() or None,
    )
    below.get_title().set_color(style.DOUBT)
    figure.supxlabel("")
