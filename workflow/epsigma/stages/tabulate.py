"""Stage tabulate: make tables of what the ledgers say."""

from collections.abc import Sequence
from pathlib import Path

from epsigma.job import Job
from epsigma.loading import load
from epsigma.tables.reading import pack_tables
from epsigma.tables.scores import read_scores


def tabulate(
    job: Job,
    *,
    cells: str,
    ledgers: Sequence[str],
    clean: Sequence[str],
    tables: str,
    smoothed: Sequence[str] = (),
    proofs: Sequence[str] = (),
) -> None:
    """Write the tables that are made of ledgers, into one file (`pack_tables`).

    The tables beside it that were unpacked before are removed first.

    The job's settings are those of `read_scores`, and `tables`, by the name of each table the
    function of `Scores` that makes it, as `package.module:name`.
    """
    with job.logged() as log:
        # Those of before: if this fails, they must not pass for what comes of it.
        for name in job.settings["tables"]:
            Path(tables).with_name(f"{name}.csv").unlink(missing_ok=True)
        scores = read_scores(
            job.settings,
            cells=cells,
            ledgers=ledgers,
            clean=clean,
            smoothed=smoothed,
            proofs=proofs,
        )
        made = {name: load(maker)(scores) for name, maker in job.settings["tables"].items()}
        pack_tables(tables, made, digits=12)
        log.info("%d cells, %d tables", len(scores.cells), len(made))
