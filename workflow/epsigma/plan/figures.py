"""The plan of the figures: which there are, what draws them, and which rules draw the filters'."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from epsigma.cell import Cell
from epsigma.plan.probes import probed_parts
from epsigma.registry.checks import LONGER
from epsigma.registry.figures import (
    ALL,
    BLIND_FILTERS,
    BOUNDED,
    BOUNDED_FILTERS,
    DETECTORS,
    DISTANCES,
    FIGURES,
    FILTERS,
    SMOOTHING,
    TRACED,
    FigureKind,
)
from epsigma.study.references import find_attack_kind
from epsigma.study.schema import Study
from epsigma.vocabulary import BLIND, EPS_NORMS, NO_FILTER

# Where the figures of a scope lie.
FOLDERS = {
    "attack": "results/figures/{dataset}/{model}/{attack}",
    "filter": "results/figures/{dataset}/{model}/{attack}/{filter}",
    "model": "results/figures/{dataset}/{model}",
    "dataset": "results/figures/{dataset}",
}


def figures_of(
    scope: str,
    *needs: str,
    kinds: str | Collection[str] = ALL,
    early: bool | None = None,
) -> dict[str, FigureKind]:
    """List the figures of a scope, by name.

    Args:
        scope: `attack`, `filter`, `model` or `dataset`.
        needs: of what there is (`epsigma.registry.figures`): figures that need one of it. Left out,
            those that need nothing.
        kinds: those that a study wants, as its key `figures` names them.
        early: those that are drawn before there are tables, or those that are not; None for both.
    """
    return {
        name: kind
        for name, kind in FIGURES[scope].items()
        if (kind.needs in needs if needs else kind.needs is None)
        and (kinds == ALL or f"{scope}_{name}" in kinds)
        and early in (None, kind.is_early)
    }


def draw_settings(figures: Mapping[str, FigureKind], **about: Any) -> dict[str, Any]:
    """Say what a job that draws is told: which function draws each figure, and `about` them."""
    return {"functions": {name: kind.implementation for name, kind in figures.items()}, **about}


def draw_modules(figures: Mapping[str, FigureKind]) -> list[str]:
    """Name the modules that a job runs which draws these figures."""
    return ["epsigma.stages.draw", *dict.fromkeys(kind.module for kind in figures.values())]


@dataclass(frozen=True)
class FigureRule:
    """A rule that draws; its outputs have to be listed beforehand.

    Args:
        name: of the rule.
        drawn: the names of the figures, or of the filters whose figures it draws, in order.
        constraints: the regular expressions of the rule's wildcards.
    """

    name: str
    drawn: tuple[str, ...]
    constraints: Mapping[str, str] = field(default_factory=dict)


class FigurePlan:
    """Which figures a study has, of what, and by which rules.

    Args:
        study: the study.
        cells: its cells.
    """

    def __init__(self, study: Study, cells: Iterable[Cell]) -> None:
        self._study = study
        subjects = ((one.dataset, one.model, one.attack, one.filter, one.threat) for one in cells)
        self._subjects = list(dict.fromkeys(subjects))
        self._entries = {one.name: find_attack_kind(study, one) for one in study.attacks}
        norms = Counter(entry.norm for entry in self._entries.values() if entry.norm)
        self._norm = norms.most_common(1)[0][0] if norms else None
        self._watched = {block.name for block in study.filters if block.detectors}
        self._facts: dict[tuple[str, ...], dict[str, None]] = {}
        for _, model, attack, filter_name, threat in self._subjects:
            for subject in ((model,), (model, attack)):
                found = self._facts.setdefault(subject, {})
                found.update(dict.fromkeys(self._find_facts(attack, filter_name, threat)))

    def _find_facts(self, attack: str, filter_name: str, threat: str) -> Iterator[str]:
        """Find what figures may need that an attack on a filter brings."""
        entry = self._entries[attack]
        if entry.norm is not None:
            yield BOUNDED
        if entry.traced and LONGER in probed_parts(self._study, attack):
            yield TRACED
        if filter_name == NO_FILTER:
            return
        yield FILTERS
        if threat == BLIND:
            yield BLIND_FILTERS
        if entry.norm is not None or entry.minimises in EPS_NORMS:
            yield DISTANCES
        if entry.norm is not None and entry.norm == self._norm:
            yield BOUNDED_FILTERS
        if filter_name in self._watched:
            yield DETECTORS
        if filter_name in self._study.smoothed_filters:
            yield SMOOTHING

    def wanted(self, scope: str, *needs: str, early: bool | None = None) -> dict[str, FigureKind]:
        """List the figures of a scope that the study wants, as `figures_of` does."""
        return figures_of(scope, *needs, kinds=self._study.figures.kinds, early=early)

    def _drawn(self, scope: str, *subject: str) -> dict[str, FigureKind]:
        """List the figures of an attack on a model, or of a model, that show something."""
        needed = self.wanted(scope, *self._facts[subject]) if self._facts[subject] else {}
        both = {**self.wanted(scope), **needed}
        return {name: both[name] for name in FIGURES[scope] if name in both}

    def paths(self) -> list[str]:
        """List the files of all figures, each in its formats."""
        paths: dict[str, None] = {}
        for dataset, model, attack, filter_name, threat in self._subjects:
            drawn = [
                ("model", self._drawn("model", model)),
                ("attack", self._drawn("attack", model, attack)),
            ]
            if threat == BLIND and filter_name != NO_FILTER:
                drawn.append(("filter", self.wanted("filter")))
            if self._study.measure_cost:
                drawn.append(("dataset", self.wanted("dataset")))
            for scope, figures in drawn:
                folder = FOLDERS[scope].format(
                    dataset=dataset, model=model, attack=attack, filter=filter_name
                )
                paths |= {
                    f"{folder}/{name}.{suffix}": None
                    for name in figures
                    for suffix in ("svg", *self._study.figures.formats)
                }
        return list(paths)

    def convergence(self, model: str, attack: str) -> bool:
        """Whether there is the figure of an attack's convergence."""
        return "convergence" in self._drawn("attack", model, attack)

    def attack_rules(self) -> list[FigureRule]:
        """Plan the rules that draw attacks; what is traced or early has rules of its own."""
        own = {**figures_of("attack", TRACED), **figures_of("attack", early=True)}
        drawn: dict[tuple[str, ...], list[str]] = {
            (attack, model): [
                name for name in self._drawn("attack", model, attack) if name not in own
            ]
            for _, model, attack, *_ in self._subjects
        }
        return split_rules("draw_attack", drawn, ("attack", "model"))

    def model_rules(self) -> list[FigureRule]:
        """Plan the rules that draw models, without detectors and votes, which have their own."""
        own = figures_of("model", DETECTORS, SMOOTHING)
        drawn: dict[tuple[str, ...], list[str]] = {
            (model,): [name for name in self._drawn("model", model) if name not in own]
            for _, model, *_ in self._subjects
        }
        return split_rules("draw_model", drawn, ("model",))

    def filter_rules(self, name: str, *, early: bool) -> list[FigureRule]:
        """Plan the rules of this name that draw filters, what is early or the rest."""
        drawn = self.wanted("filter", early=early)
        met: dict[tuple[str, ...], dict[str, None]] = {}
        for _, model, attack, filter_name, threat in self._subjects:
            if threat == BLIND and filter_name != NO_FILTER and drawn:
                met.setdefault((attack, model), {})[filter_name] = None
        return split_rules(name, met, ("attack", "model"))


def split_rules(
    name: str, drawn: Mapping[tuple[str, ...], Iterable[str]], wildcards: Sequence[str]
) -> list[FigureRule]:
    """Plan one rule, if the same is drawn of all subjects, and otherwise several.

    Args:
        name: of the rule; several are numbered.
        drawn: by subject, the values of `wildcards`. A subject of which nothing is drawn has none.
        wildcards: of the rule. Each of several rules is for what differs in the last one.
    """
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for subject, names in drawn.items():
        if key := tuple(names):
            alike.setdefault((subject[:-1], key), []).append(re.escape(subject[-1]))
    if len({key for _, key in alike}) == 1:
        return [FigureRule(name, next(iter(alike))[1])]
    return [
        FigureRule(
            f"{name}_{number}",
            key,
            dict(zip(wildcards, (*map(re.escape, first), "|".join(last)), strict=True)),
        )
        for number, ((first, key), last) in enumerate(alike.items(), start=1)
    ]
