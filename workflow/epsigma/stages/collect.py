"""Stage collect: one table of all cells."""

from collections.abc import Sequence

from epsigma.job import Job
from epsigma.storage.files import read_json
from epsigma.tables.cells import tabulate_cells
from epsigma.tables.reading import write_table


def collect(job: Job, *, metrics: Sequence[str], table: str, proofs: Sequence[str] = ()) -> None:
    """Write the table of cells as CSV, from JSON files of cells, in their order, and of proofs."""
    with job.logged() as log:
        rows, proved = ([read_json(path) for path in files] for files in (metrics, proofs))
        cells = tabulate_cells(rows, proved)
        write_table(table, cells)
        log.info("%d cells", len(cells))
