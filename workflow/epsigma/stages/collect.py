"""Stage collect: one table of all cells."""

from collections.abc import Sequence

from epsigma.job import Job
from epsigma.storage.files import read_json
from epsigma.tables.cells import tabulate_cells
from epsigma.tables.reading import write_table


def collect(job: Job, *, metrics: Sequence[str], table: str) -> None:
    """Write the table of cells as CSV, from their JSON files, in the order of the rows."""
    with job.logged() as log:
        cells = tabulate_cells([read_json(path) for path in metrics])
        write_table(table, cells)
        log.info("%d cells", len(cells))
