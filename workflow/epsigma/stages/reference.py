"""Stage reference: the study's figures beside published ones."""

from epsigma.job import Job
from epsigma.pages import table_page
from epsigma.storage.files import write_text
from epsigma.tables.reading import read_table, write_table
from epsigma.tables.reference import Study, scoreboard


def set_beside_published(
    job: Job, *, cells: str, clean: str, distortion: str, reference: str, page: str
) -> None:
    """Write the scoreboard.

    Args:
        job: its settings are the kinds of the `datasets` and `models` by name, and of the
            `attacks` by name, kind and hyper-parameters.
        cells: `cells.csv`.
        clean: `clean.csv`.
        distortion: `distortion.csv`.
        reference: CSV to write, see `epsigma.tables.reference.scoreboard`.
        page: HTML to write, that shows it.
    """
    with job.logged():
        study = Study(
            clean=read_table(clean),
            cells=read_table(cells),
            distortion=read_table(distortion),
            **job.settings,
        )
        board = scoreboard(study)
        write_table(reference, board, digits=6)
        write_text(page, table_page(board, "Published figures, and ours"))
