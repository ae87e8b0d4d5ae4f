"""Stage reference: the study's figures beside published ones."""

from epsigma.job import Job
from epsigma.pages import table_page
from epsigma.storage.files import write_text
from epsigma.tables.reading import read_table, write_table
from epsigma.tables.reference import Study, scoreboard


def set_beside_published(
    job: Job, *, cells: str, clean: str, distortion: str, reference: str, page: str
) -> None:
    """Write the scoreboard and a page that shows it, from tables; the settings are of `Study`."""
    with job.logged():
        tables = (read_table(clean), read_table(cells), read_table(distortion))
        board = scoreboard(Study(*tables, **job.settings))
        write_table(reference, board, digits=6)
        write_text(
            page, table_page(board, "Published figures, and ours", job.settings.get("names", {}))
        )
