"""Stage collect: one table of all cells."""

from collections.abc import Sequence

import yaml

from epsigma.job import Job
from epsigma.pages import table_page
from epsigma.storage.files import atomic_write, read_json, write_text
from epsigma.tables.cells import tabulate_cells
from epsigma.tables.reading import read_table
from epsigma.tables.reference import Study, scoreboard


def collect(job: Job, *, metrics: Sequence[str], table: str) -> None:
    """Write the table of cells.

    Args:
        job: identity and log.
        metrics: the cells' JSON files, in the order of the rows.
        table: CSV to write, with the columns `COLUMNS`.
    """
    with job.logged() as log:
        cells = tabulate_cells([read_json(path) for path in metrics])
        with atomic_write(table) as temporary:
            cells.to_csv(temporary, index=False)
        log.info("%d cells", len(cells))


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
        with atomic_write(reference) as temporary:
            board.to_csv(temporary, index=False, float_format="%.6g")
        write_text(page, table_page(board, "Published figures, and ours"))


def write_configuration(job: Job, *, configuration: str) -> None:
    """Write the configuration that was run, defaults included, as YAML.

    Args:
        job: its settings are the configuration.
        configuration: the file to write.
    """
    with job.logged():
        text = yaml.safe_dump(job.settings, sort_keys=False, allow_unicode=True)
        write_text(configuration, text)
