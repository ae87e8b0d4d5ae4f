"""Jobs: what the stages of a rule's `run` block are given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from epsigma.job import Job
from epsigma.plan.columns import cells_of_job
from epsigma.plan.inputs import steps_along_direction
from epsigma.plan.paths import path_of_part, prefix_of
from epsigma.plan.probes import tried_budget
from epsigma.plan.settings import at_cell, direction_settings, locate_parts
from epsigma.storage.files import progress_path, temporary_name
from epsigma.study.schema import Study
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

Stage = Callable[..., None]


class Jobs:
    """Makes jobs of a study's rules."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def one(self, wildcards: Mapping[str, str], params: Any, output: Any, log: Any) -> Job:
        """Make the job of a rule that makes one thing.

        Args:
            wildcards: of the rule, like what follows.
            params: with a `recipe`.
            output: at least one file.
            log: one file.
        """
        return self._make(wildcards, params.recipe, output, log)

    def trial(self, wildcards: Mapping[str, str], params: Any, output: Any, log: Any) -> Job:
        """Make the job of the trial of an attack, at a budget that its recipe leaves open."""
        budget = tried_budget(self._study, wildcards["attack"])
        return self._make({**wildcards, "budget": budget}, params.recipe, output, log)

    def _make(
        self, wildcards: Mapping[str, str], recipe: Mapping[str, Any], output: Any, log: Any
    ) -> Job:
        cell = dict(wildcards)
        prefix = prefix_of(output[0])
        named = {"seed": self._study.seeds[0], **cell}
        settings = locate_parts(
            at_cell(recipe["settings"], cell), lambda part: prefix + path_of_part(part, named)
        )
        study = self._study
        return Job(
            cell,
            settings,
            recipe["code"],
            study.device,
            str(log),
            memory_mb=study.memory_mb,
            batch_size=study.batch_size,
        )

    def each(
        self,
        wildcards: Mapping[str, str],
        inputs: Any,
        output: Any,
        params: Any,
        log: Any,
        sweeps: Sequence[str] = ("budget", "strength"),
    ) -> Iterator[tuple[Job, dict[str, str]]]:
        """Make the jobs of a rule that makes cells, one or a column of them.

        Yields:
            Of each cell the job, and the files that its stage reads and writes, by name. A file
            that there is none of is left out; of files that each cell, or each budget, has its own
            of, it gets its own. Cells of one strength follow each other, in one log. When the last
            one is made, what stages have kept for another attempt is removed.
        """
        cells = cells_of_job(self._study, dict(wildcards), sweeps)
        order = sorted(enumerate(cells), key=lambda pair: pair[1].get("strength", ""))
        for done, (index, cell) in enumerate(order):
            files = {
                name: _file_of(value, index, len(cells))
                for name, value in (*inputs.items(), *output.items())
                if len(value)
            }
            yield replace(self.one(cell, params, output, log), continues=done > 0), files
        # All is there: nobody has to go on from what was kept of it on the way.
        for path in output:
            progress_path(path).unlink(missing_ok=True)

    def attack_each(
        self,
        attack: Stage,
        differentiate: Stage,
        wildcards: Mapping[str, str],
        inputs: Any,
        output: Any,
        params: Any,
        log: Any,
    ) -> None:
        """Make the sets of a job's cells by the stage `attack`.

        What several of them step along is found once, by the stage `differentiate`.
        """
        with _Directions(self._study, differentiate) as directions:
            for job, files in self.each(wildcards, inputs, output, params, log):
                directions.step(attack, job, **files)

    def score_each(
        self,
        attack: Stage,
        differentiate: Stage,
        evaluate: Stage,
        wildcards: Mapping[str, str],
        inputs: Any,
        output: Any,
        params: Any,
        log: Any,
    ) -> None:
        """Score the cells of a job by the stage `evaluate`.

        One whose set is no input is attacked first, as `attack_each` does, by the recipe `attack`;
        what it makes is handed over in memory, as a rule.
        """
        from epsigma.storage.held import HeldSet

        with _Directions(self._study, differentiate) as directions:
            for job, files in self.each(wildcards, inputs, output, params, log):
                if "test" not in files:
                    evaluate(job, **files)
                    continue
                # As the rule `attack_aware` names it: what an attack draws follows from that.
                cell = {name: value for name, value in job.cell.items() if name != "threat"}
                attacker = self._make(cell, params.attack, output, job.log)
                attacker = replace(attacker, continues=job.continues)
                given = {"test": files.pop("test"), "checkpoint": files.pop("source")}
                given |= {"direction": files.pop("direction")} if "direction" in files else {}
                is_filtered_later = "filter" in job.settings
                made, scored = ("adversarial",) * 2 if is_filtered_later else ("filtered", "images")
                with HeldSet(files["ledger"]) as held:
                    directions.step(attack, attacker, **given, **{made: held})
                    evaluate(replace(job, continues=True), **files, **{scored: held})


class _Directions:
    """What the cells of a column step along, if that is the same for all budgets.

    It is found for the first cell of a strength, and kept in a file until the last one is done.

    Args:
        study: the study.
        differentiate: the stage that finds it.
    """

    def __init__(self, study: Study, differentiate: Stage) -> None:
        self._study, self._differentiate = study, differentiate
        self._found: tuple[str | None, Path] | None = None

    def __enter__(self) -> Self:
        """Begin with nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file."""
        self._forget()

    def step(self, attack: Stage, job: Job, **files: Any) -> None:
        """Run the stage `attack` along the direction of its cell, if it is one of several."""
        if "direction" in files or not self._is_shared(job):
            attack(job, **files)
            return
        strength = job.cell.get("strength")
        is_new = not self._found or self._found[0] != strength
        if is_new:
            self._forget()
            self._found = strength, self._find(job, **files)
        assert self._found
        follows = job.continues or is_new
        attack(replace(job, continues=follows), **files, direction=str(self._found[1]))

    def _is_shared(self, job: Job) -> bool:
        study, threat = self._study, AWARE if "filter" in job.cell else BLIND
        budgets = study.find("attacks", job.cell["attack"]).levels
        if study.columns != "attack" or len(budgets) == 1:
            return False
        return steps_along_direction(study, {"filter": NO_FILTER, **job.cell, "threat": threat})

    def _find(
        self, job: Job, *, test: str, checkpoint: str, adversarial: Any = None, filtered: Any = None
    ) -> Path:
        made = adversarial or filtered
        path = temporary_name(Path(getattr(made, "beside", made)).with_suffix(".safetensors"))
        told = {name: value for name, value in job.settings.items() if name != "attack"}
        told["direction"] = direction_settings(self._study, job.cell["attack"])
        told["examples"] = job.settings["attack"].get("examples")
        finder = replace(job, settings=told)
        self._differentiate(finder, test=test, checkpoint=checkpoint, direction=str(path))
        return path

    def _forget(self) -> None:
        if self._found:
            self._found[1].unlink(missing_ok=True)
        self._found = None


def _file_of(value: Any, index: int, cells: int) -> str:
    """Pick a cell's file out of one for all cells, or of one for each of them or of its budgets.

    A budget's cells follow each other.
    """
    return value if isinstance(value, str) else str(value[index * len(value) // cells])
