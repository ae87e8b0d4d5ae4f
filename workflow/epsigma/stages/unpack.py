"""Stage unpack: write each table into a file of its own."""

from collections.abc import Sequence
from pathlib import Path

from epsigma.job import Job
from epsigma.storage.files import write_text
from epsigma.tables.reading import unpack_tables


def unpack(job: Job, *, packed: str, tables: Sequence[str]) -> None:
    """Write the tables of a file of the stage tabulate: CSV files, named after the tables."""
    with job.logged() as log:
        found = unpack_tables(packed)
        for path in tables:
            write_text(path, found[Path(path).stem])
        log.info("%d tables", len(tables))
