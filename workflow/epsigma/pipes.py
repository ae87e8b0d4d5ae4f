"""Which inputs of a job are pipes: Snakemake's answer, looked up.

Before a job runs, Snakemake asks that of each of its inputs, and goes through the jobs that they
come from, one after another, until it finds the input's: of a table of n cells n² / 2 steps. Of
100,000 cells that is over ten minutes of processor time, of which nothing is left here (9.27.1).
"""

from typing import Any

from snakemake.jobs import Job


def look_up_pipes() -> None:
    """Let Snakemake answer in one step an input; the answer is the same."""
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
