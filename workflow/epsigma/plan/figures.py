"""The plan of the figures: which there are, what draws them, and which rules draw the filters'."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from epsigma.cell import Cell
from epsigma.registry.figures import FIGURES, FigureKind
from epsigma.vocabulary import BLIND, NO_FILTER

# Where the figures of a scope lie.
FOLDERS = {
    "attack": "results/figures/{dataset}/{model}/{attack}",
    "filter": "results/figures/{dataset}/{model}/{attack}/{filter}",
    "model": "results/figures/{dataset}/{model}",
    "dataset": "results/figures/{dataset}",
}


def figures_of(
    scope: str, *, detectors: bool = False, smoothing: bool = False
) -> dict[str, FigureKind]:
    """List the figures that a job draws, by name.

    Args:
        scope: `attack`, `filter`, `model` or `dataset`.
        detectors: whether those that are drawn only for a model with detectors, or the others.
        smoothing: the same for a model of which the vote over noise is certified.
    """
    return {
        name: kind
        for name, kind in FIGURES[scope].items()
        if (kind.detectors, kind.smoothing) == (detectors, smoothing)
    }


def draw_settings(figures: Mapping[str, FigureKind], **about: Any) -> dict[str, Any]:
    """Say what a job that draws is told: which function draws each figure, and `about` them."""
    return {"functions": {name: kind.implementation for name, kind in figures.items()}, **about}


def draw_modules(figures: Mapping[str, FigureKind]) -> list[str]:
    """Name the modules that a job runs which draws these figures."""
    return ["epsigma.stages.draw", *dict.fromkeys(kind.module for kind in figures.values())]


def figure_paths(
    cells: Iterable[Cell],
    *,
    with_detectors: Collection[str],
    measure_cost: bool,
    smoothed: Collection[str] = (),
) -> list[str]:
    """List the files of all figures of a study, SVG and PNG.

    Args:
        cells: of the study.
        with_detectors: the filters that have detectors; a model that meets one has them, too.
        measure_cost: whether the cost of the defences is measured.
        smoothed: the filters of whose noise the vote is certified.
    """
    paths: dict[str, None] = {}
    subjects = ((cell.dataset, cell.model, cell.attack, cell.filter, cell.threat) for cell in cells)
    for dataset, model, attack, filter_name, threat in dict.fromkeys(subjects):
        drawn = [("model", figures_of("model")), ("attack", figures_of("attack"))]
        if threat == BLIND and filter_name != NO_FILTER:
            drawn.append(("filter", figures_of("filter")))
        if filter_name in with_detectors:
            drawn.append(("model", figures_of("model", detectors=True)))
        if filter_name in smoothed:
            drawn.append(("model", figures_of("model", smoothing=True)))
        if measure_cost:
            drawn.append(("dataset", figures_of("dataset")))
        for scope, figures in drawn:
            folder = FOLDERS[scope].format(
                dataset=dataset, model=model, attack=attack, filter=filter_name
            )
            paths |= {
                f"{folder}/{name}.{suffix}": None for name in figures for suffix in ("svg", "png")
            }
    return list(paths)


@dataclass(frozen=True)
class FilterRule:
    """A rule that draws all filters against an attack; its outputs have to be listed beforehand.

    Args:
        name: of the rule.
        filters: that the rule's attacks meet, in the configuration's order.
        constraints: the regular expressions of the rule's wildcards.
    """

    name: str
    filters: tuple[str, ...]
    constraints: Mapping[str, str] = field(default_factory=dict)


def filter_rules(cells: Iterable[Cell]) -> list[FilterRule]:
    """Plan the rules that draw filters: one, if all blind attacks on all models meet the same.

    Otherwise one for each attack and what it meets, which depends on the model.
    """
    met: dict[tuple[str, str], dict[str, None]] = {}
    for cell in cells:
        if cell.threat == BLIND and cell.filter != NO_FILTER:
            met.setdefault((cell.attack, cell.model), {})[cell.filter] = None
    models: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (attack, model), filters in met.items():
        models.setdefault((attack, tuple(filters)), []).append(re.escape(model))
    rules = [
        FilterRule(f"draw_filters_{number}", filters, {"attack": attack, "model": "|".join(names)})
        for number, ((attack, filters), names) in enumerate(models.items(), start=1)
    ]
    if len({rule.filters for rule in rules}) == 1:
        return [FilterRule("draw_filters", rules[0].filters)]
    return rules
