"""What a study asks for: the files of all its cells, probes, tables and figures."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache, cached_property, partial
from itertools import product
from typing import Any

from epsigma.cell import Cell
from epsigma.plan import paths
from epsigma.plan.figures import FigurePlan
from epsigma.plan.probes import probed_parts
from epsigma.plan.settings import block_levels
from epsigma.registry.checks import FILTER, MODEL
from epsigma.study.blocks import NONE, Filter
from epsigma.study.schema import Study
from epsigma.vocabulary import BLIND, FOOLING, NO_FILTER, is_white_box


def digest_of(files: Iterable[str]) -> str:
    """Tell one list of files from another, where a rule reads as many as the study asks for."""
    return hashlib.sha256("\n".join(files).encode()).hexdigest()[:16]


class Targets:
    """The files that a study asks for."""

    def __init__(self, study: Study, cells: Sequence[Cell]) -> None:
        self._study = study
        self._cells = cells
        self.drawings = FigurePlan(study, cells)
        self.metrics = [paths.METRICS.format(**cell.wildcards) for cell in cells]
        self.ledgers = [paths.LEDGER.format(**cell.wildcards) for cell in cells]
        self.models = {(cell.dataset, cell.model): None for cell in cells}
        self.attacks = {(cell.dataset, cell.model, cell.attack): None for cell in cells}

    def _filters(self) -> list[tuple[Filter, str]]:
        """List the filters, none of them among them, at each of their strengths."""
        return [
            (block, strength)
            for block in (NONE, *self._study.filters)
            for strength in block_levels(self._study, "filters", block.name)
        ]

    def clean_ledgers(self) -> list[str]:
        """The ledgers of the clean images, through every filter and without one."""
        study = self._study
        return [
            paths.CLEAN_LEDGER.format(
                dataset=dataset, model=model, seed=seed, filter=block.name, strength=strength
            )
            for dataset, model, seed, (block, strength) in product(
                study.names("datasets"), study.names("models"), study.seeds, self._filters()
            )
            if block.is_for(model)
        ]

    def model_probes(self) -> list[str]:
        """What was measured of every model, if a check asks for it."""
        study = self._study
        if MODEL not in study.measurements:
            return []
        return [
            paths.MODEL_PROBE.format(dataset=dataset, model=model, seed=seed)
            for dataset, model, seed in product(
                study.names("datasets"), study.names("models"), study.seeds
            )
        ]

    def filter_probes(self) -> list[str]:
        """What was measured of every filter, on every data set, if a check asks for it."""
        if FILTER not in self._study.measurements:
            return []
        return [
            paths.FILTER_PROBE.format(dataset=dataset, filter=block.name, strength=strength)
            for dataset in self._study.names("datasets")
            for block, strength in self._filters()
        ]

    def attack_probes(self, **wildcards: str) -> list[str]:
        """What was measured of attacks for checks, on each target that they know.

        Args:
            wildcards: of the attacks that are meant; all, if there are none.
        """
        parts_of = cache(partial(probed_parts, self._study))
        found = {
            paths.ATTACK_PROBE.format(**cell.wildcards): None
            for cell in self._cells
            if is_white_box(cell.threat, cell.filter)
            and parts_of(cell.attack, cell.threat, cell.filter)
            and wildcards.items() <= cell.wildcards.items()
        }
        return list(found)

    def probes_of_attack(self, wildcards: Any) -> list[str]:
        """What was measured of an attack on a model of the first seed."""
        return self.attack_probes(**wildcards, seed=str(self._study.seeds[0]))

    def digest_of_probes(self, wildcards: Any) -> str:
        """Tell one list of an attack's probes from another."""
        return digest_of(self.probes_of_attack(wildcards))

    def digest_of_card(self, wildcards: Any) -> str:
        """Tell one list of what an attack's card shows from another: probes, perhaps a figure."""
        shown = self.convergence(wildcards)
        figures = [shown] if isinstance(shown, str) else shown
        return digest_of([*self.probes_of_attack(wildcards), *figures])

    def proofs(self) -> list[str]:
        """What is proved of each defended model that attackers know, at each ε in ℓ∞."""
        return list(self._attacked)

    def proof_ledgers(self) -> list[str]:
        """The same, example by example."""
        return [path.removesuffix(".json") + ".parquet" for path in self._attacked]

    def attacked_ledgers(self, wildcards: Any) -> list[str]:
        """The ledgers of all attacks that know a defended model, which its proofs build on."""
        return self._attacked.get(paths.PROOFS.format(**wildcards), [])

    def digest_of_attacked(self, wildcards: Any) -> str:
        """Tell one list of ledgers that proofs build on from another."""
        return digest_of(self.attacked_ledgers(wildcards))

    @cached_property
    def _attacked(self) -> dict[str, list[str]]:
        """The ledgers of attacks, by the proofs that build on them; none without proofs.

        Detectors are no part of what proofs know, nor are fooling images.
        """
        study = self._study
        if study.proofs is None:
            return {}
        bounded = {
            one.name
            for one in study.attacks
            if (one.entry.norm, one.entry.swept) == ("linf", "eps") and one.entry.family != FOOLING
        }
        watched = {block.name for block in study.filters if block.detectors}
        found: dict[str, list[str]] = {}
        for cell in self._cells:
            is_known = is_white_box(cell.threat, cell.filter) and cell.filter not in watched
            if is_known and cell.attack in bounded:
                ledger = paths.LEDGER.format(**cell.wildcards)
                found.setdefault(paths.PROOFS.format(**cell.wildcards), []).append(ledger)
        return found

    def digest_of_ledgers(self) -> str:
        """Tell what tables are made of from another list, but for the ledgers of cells."""
        return digest_of([*self.clean_ledgers(), *self.smoothed_ledgers(), *self.proof_ledgers()])

    def smoothed_ledgers(self) -> list[str]:
        """What is certified of the vote over draws."""
        study, smoothed = self._study, self._study.smoothed_filters
        return [
            paths.SMOOTHED.format(
                dataset=dataset, model=model, seed=seed, filter=block.name, strength=strength
            )
            for dataset, model, seed, (block, strength) in product(
                study.names("datasets"), study.names("models"), study.seeds, self._filters()
            )
            if block.name in smoothed and block.is_for(model)
        ]

    def cards(self) -> list[str]:
        """The cards of all attacks on all models."""
        return [
            paths.CARD.format(dataset=dataset, model=model, attack=attack)
            for dataset, model, attack in self.attacks
        ]

    def shown_sets(self) -> list[str]:
        """The adversarial sets whose images the explorer shows: the first seed's that are kept."""
        study = self._study
        fooling = {one.name for one in study.attacks if one.entry.family == FOOLING}
        shown = (
            (paths.BLIND_SET if cell.threat == BLIND else paths.AWARE_SET).format(**cell.wildcards)
            for cell in self._cells
            if cell.seed == study.seeds[0]
            and cell.attack not in fooling
            and (cell.threat == BLIND or study.keep_aware)
        )
        return list(dict.fromkeys(shown))

    def costs(self) -> list[str]:
        """What the defences of each data set cost."""
        return [paths.COST.format(dataset=name) for name in self._study.names("datasets")]

    def kept_sets(self) -> list[str]:
        """Filtered sets that are to be kept, and that no cell is scored on."""
        if not (self._study.is_scored_raw and self._study.keep_filtered):
            return []
        return [
            paths.FILTERED_BLIND_SET.format(**cell.wildcards)
            for cell in self._cells
            if cell.threat == BLIND and cell.filter != NO_FILTER
        ]

    def figures(self) -> list[str]:
        """All figures of the study."""
        return self.drawings.paths()

    def convergence(self, wildcards: Any) -> str | list[str]:
        """The figure of an attack's convergence, for its card, if there is one."""
        is_there = self.drawings.convergence(wildcards.model, wildcards.attack)
        return paths.CONVERGENCE.format(**wildcards) if is_there else []

    def attack_pattern(self, *, is_fooling: bool) -> str:
        """A regular expression of the attacks that make fooling images, or of all others."""
        names = [
            one.name for one in self._study.attacks if (one.entry.family == FOOLING) == is_fooling
        ]
        # What matches nothing.
        return "|".join(names) or "(?!)"
