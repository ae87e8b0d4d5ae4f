"""What rules read, where a pattern alone does not say it: functions of a job's wildcards.

What an importing workflow has as its prefix, Snakemake puts before all that they return, but for
what is `local`: the user's own files.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import local

from epsigma.plan import paths
from epsigma.plan.columns import cells_of_job
from epsigma.plan.probes import middle_budget, needs_trial
from epsigma.plan.recipes import Recipes
from epsigma.plan.settings import block_levels, direction_settings, find_parts
from epsigma.storage.source import fingerprint, locate
from epsigma.study.references import source_of
from epsigma.study.schema import Study
from epsigma.vocabulary import AWARE, BLIND, FLOAT32, FOOLING, NO_FILTER

Wildcards = Mapping[str, str]


def each_cell(
    path_of: Callable[["Inputs", dict[str, str]], str],
) -> Callable[["Inputs", Any], str | list[str]]:
    """Make a function of a cell one of a job: the path of its cell, or of each of a column.

    What cells have in common is listed once: Snakemake keeps the list with each file of the job.
    """

    @wraps(path_of)
    def read(self: "Inputs", wildcards: Any) -> str | list[str]:
        cells = cells_of_job(self.study, dict(wildcards))
        found = list(dict.fromkeys(path for cell in cells if (path := path_of(self, cell))))
        return found[0] if len(found) == 1 else found

    return read


class Inputs:
    """What the rules of a study read."""

    def __init__(self, study: Study, recipes: Recipes) -> None:
        self.study = study
        self._recipes = recipes
        self._own_data = {name: self._watch(name) for name in study.names("datasets")}

    def _watch(self, name: str) -> str | None:
        """Tell one state of the user's own data from another; None if it is not there.

        Asked at once, not by the rule: of a file that exists already, Snakemake would keep quiet
        about a source that must not be read. One that is missing is only an error if it is needed.
        """
        path = self.study.find("datasets", name).own_source
        try:
            return path and fingerprint(Path(self.study.data_dir), path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise WorkflowError(f"the data set {name}: {error}") from None

    def own_data_state(self, wildcards: Any) -> str | None:
        """What tells one state of the user's own data from another."""
        return self._own_data[wildcards.dataset]

    def own_data(self, wildcards: Any) -> list[str]:
        """The user's own file or folder that a data set is read from; none if it is a known one."""
        path = self.study.find("datasets", wildcards.dataset).own_source
        try:
            return [local(str(locate(Path(self.study.data_dir), path)))] if path else []
        except (OSError, ValueError) as error:
            raise WorkflowError(f"the data set {wildcards.dataset}: {error}") from None

    def own_weights(self, wildcards: Any) -> dict[str, str]:
        """The user's own `weights` of a model, if it has some."""
        path = self.study.find("models", wildcards.model).checkpoint
        return {} if path is None else {"weights": local(path)}

    def learnt_images(self, wildcards: Any) -> str:
        """The training images; for weights of the user's own test images, to try the model on."""
        path = self.study.find("models", wildcards.model).checkpoint
        return (paths.TRAIN if path is None else paths.TEST).format(dataset=wildcards.dataset)

    def trials(self, wildcards: Any) -> list[str]:
        """The trial of an attack, which waits for it, if it needs one (`needs_trial`).

        Not `ancient`: where such a file is made anew, Snakemake does not ask what else is to make
        a job run that reads it.
        """
        attack = self.study.find("attacks", wildcards.attack)
        is_tried = needs_trial(self.study, attack, wildcards.dataset)
        return [paths.TRIAL.format(**wildcards)] if is_tried else []

    def teacher(self, wildcards: Any) -> dict[str, str]:
        """The checkpoint of the `teacher` that a model learns from, if it has one."""
        has_teacher = self.study.find("models", wildcards.model).has_teacher
        return {"teacher": paths.TEACHER.format(**wildcards)} if has_teacher else {}

    def _parts(self, recipe: Mapping[str, Any], wildcards: Wildcards) -> list[str]:
        named = {"seed": self.study.seeds[0], **wildcards}
        return [paths.path_of_part(part, named) for part in find_parts(recipe["settings"])]

    def learnt_parts(self, wildcards: Any) -> list[str]:
        """The autoencoders of filters that a model is trained through."""
        return self._parts(self._recipes.train(wildcards), wildcards)

    def calibrated_parts(self, wildcards: Any) -> list[str]:
        """The autoencoders of a detector."""
        return self._parts(self._recipes.calibrate(wildcards), wildcards)

    def filter_parts(self, wildcards: Any) -> list[str]:
        """The autoencoders of a filter."""
        return self._parts(self._recipes.filter(wildcards), wildcards)

    def defence_parts(self, wildcards: Any) -> list[str]:
        """The autoencoders and thresholds of a filter and its detectors."""
        return self._parts(self._recipes.evaluate_clean(wildcards), wildcards)

    def attacked_parts(self, wildcards: Any) -> list[str]:
        """The autoencoders and thresholds of what is attacked; blind, that is none."""
        if wildcards.get("threat", AWARE) == BLIND:
            return []
        return self._parts(self._recipes.attack_aware(wildcards), wildcards)

    def probed_cells(self, wildcards: Any) -> list[str]:
        """The ledgers that the probe of an attack goes on from, one of each strength; or none."""
        attack, threat = wildcards.attack, wildcards.threat
        if not self._recipes.needs_cell(attack, threat, wildcards.filter):
            return []
        budget = middle_budget(self.study, attack)
        cells = cells_of_job(self.study, dict(wildcards), ["strength"])
        return [paths.LEDGER.format(**cell, budget=budget) for cell in cells]

    def scored_parts(self, wildcards: Any) -> list[str]:
        """The autoencoders and thresholds that scoring a cell needs, and attacking it there."""
        parts = self._parts(self._recipes.evaluate(wildcards), wildcards)
        if not is_attacked_when_scored(self.study, wildcards):
            return parts
        attacked = [*self.attacked_parts(wildcards), *self.trials(wildcards)]
        return list(dict.fromkeys([*parts, *attacked]))

    def attacked_images(self, wildcards: Any) -> str | list[str]:
        """The test images, if a cell is attacked where it is scored."""
        is_here = is_attacked_when_scored(self.study, wildcards)
        return paths.TEST.format(dataset=wildcards.dataset) if is_here else []

    def attacked_source(self, wildcards: Any) -> str | list[str]:
        """The classifier that is attacked, if a cell is attacked where it is scored."""
        is_here = is_attacked_when_scored(self.study, wildcards)
        return self.source_checkpoint(wildcards) if is_here else []

    def spectrum_parts(self, wildcards: Any) -> list[str]:
        """The autoencoders of all filters."""
        return self._parts(self._recipes.spectrum(wildcards), wildcards)

    def source_checkpoint(self, wildcards: Any) -> str:
        """The classifier that is attacked: of a transfer, another than the one that is scored."""
        attack = self.study.find("attacks", wildcards.attack)
        model, seed = source_of(attack, wildcards.model, int(wildcards.seed))
        return paths.CHECKPOINT.format(dataset=wildcards.dataset, model=model, seed=seed)

    @each_cell
    def blind_set(self, cell: dict[str, str]) -> str:
        """The adversarial set of an attacker who does not know the filter."""
        return paths.BLIND_SET.format(**cell)

    @each_cell
    def blind_direction(self, cell: dict[str, str]) -> str:
        """What a blind attack steps along, if that is one step for each budget."""
        return self._direction({**cell, "threat": BLIND, **paths.UNFILTERED})

    @each_cell
    def aware_direction(self, cell: dict[str, str]) -> str:
        """What an aware attack steps along, if that is one step for each budget."""
        return self._direction({**cell, "threat": AWARE})

    @each_cell
    def scored_direction(self, cell: dict[str, str]) -> str:
        """What a cell that is attacked where it is scored steps along, if it does."""
        return self._direction(cell) if is_attacked_when_scored(self.study, cell) else ""

    def _direction(self, cell: dict[str, str]) -> str:
        return paths.DIRECTION.format(**cell) if has_direction(self.study, cell) else ""

    @each_cell
    def unfiltered_set(self, cell: dict[str, str]) -> str:
        """The set that a cell is scored on, if it has yet to pass the filter."""
        if is_attacked_when_scored(self.study, cell):
            return ""
        return _adversarial_set(cell) if is_filtered_when_scored(self.study, cell) else ""

    @each_cell
    def filtered_set(self, cell: dict[str, str]) -> str:
        """The set that a cell is scored on, if it is scored as it is."""
        if is_filtered_when_scored(self.study, cell) or is_attacked_when_scored(self.study, cell):
            return ""
        if cell["filter"] == NO_FILTER:
            return _adversarial_set(cell)
        is_aware = cell["threat"] == AWARE
        made = paths.FILTERED_AWARE_SET if is_aware else paths.FILTERED_BLIND_SET
        return made.format(**cell)

    def blind_sets(self, wildcards: Any) -> list[str]:
        """The blind adversarial sets of an attack, a budget each."""
        return [
            paths.BLIND_SET.format(**wildcards, budget=budget)
            for budget in block_levels(self.study, "attacks", wildcards.attack)
        ]

    def unfiltered_ledgers(self, wildcards: Any) -> list[str]:
        """The ledgers of an attack without a filter, a budget each."""
        none = {**wildcards, "threat": BLIND, **paths.UNFILTERED}
        return [
            paths.LEDGER.format(**none, budget=budget)
            for budget in block_levels(self.study, "attacks", wildcards.attack)
        ]

    def spectrum_of_first_seed(self, wildcards: Any) -> str:
        """The spectra of an attack on a model; a figure of them shows the first seed's."""
        return paths.SPECTRUM.format(**wildcards, seed=self.study.seeds[0])

    def galleries_of(self, filters: Sequence[str]) -> list[str]:
        """The galleries of filters against an attack, of the first seed."""
        return [
            paths.GALLERY.replace("{seed}", str(self.study.seeds[0])).replace("{filter}", name)
            for name in filters
        ]

    def spent_on_defences(self, wildcards: Any) -> list[str]:
        """What the cost of the defences of a data set is measured on, see `Recipes.cost`."""
        files: list[str] = self._recipes.cost(wildcards)["settings"]["files"]
        return files


def _adversarial_set(cell: Mapping[str, str]) -> str:
    made = paths.AWARE_SET if cell["threat"] == AWARE else paths.BLIND_SET
    return made.format(**cell)


def has_direction(study: Study, cell: Mapping[str, str]) -> bool:
    """Whether what a cell's set is a step along is kept in a file of its own.

    A column has none: it would be made anew for the youngest of those of its cells.
    """
    is_kept = study.keep_directions and study.columns == "none"
    return is_kept and steps_along_direction(study, cell)


def steps_along_direction(study: Study, cell: Mapping[str, str]) -> bool:
    """Whether a cell's set is a step along what cells of all budgets step along.

    What is rounded is not: what was lost by that is counted on the model, and a direction would
    take as much disk as the set. What draws, draws in each cell anew; and behind detectors which
    of two sets is taken depends on the budget.
    """
    if study.stored_as != FLOAT32:
        return False
    block = study.find("filters", cell["filter"])
    is_own = cell["threat"] == AWARE and (block.is_random or block.detectors)
    return not is_own and direction_settings(study, cell["attack"]) is not None


def is_filtered_when_scored(study: Study, cell: Mapping[str, str]) -> bool:
    """Whether a cell's set has yet to pass the filter: one that is not kept is not written."""
    if cell["filter"] == NO_FILTER:
        return False
    return study.is_scored_raw or (cell["threat"] == BLIND and not study.keep_filtered)


def is_attacked_when_scored(study: Study, cell: Mapping[str, str]) -> bool:
    """Whether a cell is attacked and scored in one job: an aware one of which no set is kept.

    Fooling images, which are few, have a job of their own.
    """
    if cell["threat"] == BLIND or study.keep_aware or study.keep_filtered:
        return False
    return bool(study.find("attacks", cell["attack"]).entry.family != FOOLING)
