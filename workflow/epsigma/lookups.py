"""What Snakemake (9.27.1) goes through one after another, looked up. The answers are the same."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from snakemake.jobs import Job


def look_up() -> None:
    """Have Snakemake ask what is in this module."""
    _look_up_pipes()
    # Modules of it import each other, and begin with this one.
    import_module("snakemake.api")
    dag: Any = import_module("snakemake.dag")
    dag.OutputIndex = ByEnding
    scheduling: Any = import_module("snakemake.scheduling.job_scheduler")
    list_them = scheduling.JobScheduler.remaining_jobs.fget
    remaining = property(lambda scheduler: Remaining(lambda: list_them(scheduler)))
    scheduling.JobScheduler.remaining_jobs = remaining


class ByEnding:
    """Which rules make a file, found by how its name ends: Snakemake's `OutputIndex`.

    That holds the file against every file that a rule lists, which are those of all budgets
    and strengths of a column: the square of its cells, of 5,000 three quarters of the time that
    planning takes.
    """

    def __init__(self, rules: Sequence[Any]) -> None:
        self._made: dict[str, list[tuple[str, Any, Any]]] = defaultdict(list)
        for rule in rules:
            for product in rule.products():
                entry = str(product.constant_prefix()), rule, product
                self._made[str(product.constant_suffix())].append(entry)
        self._lengths = sorted({len(suffix) for suffix in self._made})

    def _candidates(self, target: str) -> Iterator[tuple[Any, Any]]:
        """Find rules and their files that begin and end as the target does."""
        for length in self._lengths:
            if length > len(target):
                return
            for prefix, rule, product in self._made.get(target[len(target) - length :], ()):
                if target.startswith(prefix):
                    yield rule, product

    def match_producers(self, targetfile: str) -> set[Any]:
        """Find the rules that make a file."""
        found = set()
        for rule, product in self._candidates(targetfile):
            try:
                if rule not in found and product.match(targetfile):
                    found.add(rule)
            except (re.error, ValueError):
                # Which says where the pattern is that cannot be read.
                rule.is_producer(targetfile)
        return found


class Remaining(Sequence[Any]):
    """The jobs that are left to run, listed when somebody looks at them.

    Snakemake lists them whenever a job is to be chosen, of n jobs n² / 2, and hands them to a
    scheduler, of which `greedy` does not look.
    """

    def __init__(self, list_them: Callable[[], list[Any]]) -> None:
        self._list_them = list_them
        self._jobs: list[Any] | None = None

    def _listed(self) -> list[Any]:
        if self._jobs is None:
            self._jobs = self._list_them()
        return self._jobs

    def __len__(self) -> int:
        """How many there are."""
        return len(self._listed())

    def __getitem__(self, at: Any) -> Any:
        """One or some of them."""
        return self._listed()[at]


def _look_up_pipes() -> None:
    """Let Snakemake say in one step an input which inputs of a job are pipes.

    Before a job runs, it goes through the jobs that its inputs come from until it finds the
    input's: of a table of n cells n² / 2 steps. Of 100,000 cells that is over ten minutes of
    processor time, of which nothing is left here.
    """
    # Inputs are asked for job by job: nothing is kept of those before.
    piped: dict[Any, set[str]] = {}

    def is_pipe_or_service_input(job: Any, path: str) -> bool:
        if job not in piped:
            piped.clear()
            made = job.dag.dependencies[job].items()
            piped[job] = {file for other, files in made for file in files & _pipes_of(other)}
        return path in piped[job]

    Job.is_pipe_or_service_input = is_pipe_or_service_input


def _pipes_of(job: Any) -> set[str]:
    pipes: set[str] = job.pipe_or_service_output
    return pipes
