"""Stage tabulate: make tables of what the ledgers say."""

from collections.abc import Sequence
from pathlib import Path

from epsigma.job import Job
from epsigma.loading import load
from epsigma.tables.reading import write_table
from epsigma.tables.scores import read_scores


def tabulate(
    job: Job,
    *,
    cells: str,
    ledgers: Sequence[str],
    clean: Sequence[str],
    tables: Sequence[str],
    smoothed: Sequence[str] = (),
) -> None:
    """Write the tables that are made of ledgers.

    The job's settings are those of `read_scores`, and `tables`, by the name of each table (which
    its CSV file is named after) the function of `Scores` that makes it, as `package.module:name`.
    """
    with job.logged() as log:
        scores = read_scores(
            job.settings, cells=cells, ledgers=ledgers, clean=clean, smoothed=smoothed
        )
        made = {path: load(job.settings["tables"][Path(path).stem])(scores) for path in tables}
        for path, table in made.items():
            write_table(path, table, digits=12)
        log.info("%d cells, %d tables", len(scores.cells), len(tables))
