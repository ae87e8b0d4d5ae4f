"""Jobs: what the stages of a rule's `run` block are given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from epsigma.job import Job
from epsigma.plan.columns import cells_of_job
from epsigma.plan.paths import path_of_part, prefix_of
from epsigma.plan.probes import tried_budget
from epsigma.plan.settings import at_cell, locate_parts
from epsigma.storage.files import progress_path
from epsigma.study.schema import Study


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
            that there is none of is left out; of files that each cell has its own of, it gets its
            own. When the last one is made, what stages have kept for another attempt is removed.
        """
        cells = cells_of_job(self._study, dict(wildcards), sweeps)
        for index, cell in enumerate(cells):
            files = {
                name: _file_of(value, index)
                for name, value in (*inputs.items(), *output.items())
                if len(value)
            }
            yield self.one(cell, params, output, log[index]), files
        # All is there: nobody has to go on from what was kept of it on the way.
        for path in output:
            progress_path(path).unlink(missing_ok=True)

    def score_each(
        self,
        attack: Callable[..., None],
        evaluate: Callable[..., None],
        wildcards: Mapping[str, str],
        inputs: Any,
        output: Any,
        params: Any,
        log: Any,
    ) -> None:
        """Score the cells of a job by the stage `evaluate`.

        One whose set is no input is attacked first, by the stage `attack` and the recipe of that
        name; what it makes is handed over in memory, as a rule.
        """
        from epsigma.storage.held import HeldSet

        for job, files in self.each(wildcards, inputs, output, params, log):
            if "test" not in files:
                evaluate(job, **files)
                continue
            # As the rule `attack_aware` names it: what an attack draws follows from that.
            cell = {name: value for name, value in job.cell.items() if name != "threat"}
            attacker = self._make(cell, params.attack, output, job.log)
            given = {"test": files.pop("test"), "checkpoint": files.pop("source")}
            given |= {"direction": files.pop("direction")} if "direction" in files else {}
            is_filtered_later = "filter" in job.settings
            made, scored = ("adversarial",) * 2 if is_filtered_later else ("filtered", "images")
            with HeldSet(files["ledger"]) as held:
                attack(attacker, **given, **{made: held})
                evaluate(replace(job, continues=True), **files, **{scored: held})


def _file_of(value: Any, index: int) -> str:
    """Pick a cell's file out of one for all cells, or of one for each."""
    return value if isinstance(value, str) else str(value[index])
