"""Stage pages: tables as pages of the report, in a reader's words."""

from collections.abc import Sequence
from pathlib import Path

from epsigma.job import Job
from epsigma.pages import table_page
from epsigma.pages.wording import CHOSEN
from epsigma.storage.files import write_text
from epsigma.tables.reading import read_table


def write_pages(job: Job, *, tables: Sequence[str], pages: Sequence[str]) -> None:
    """Write a page for each table, CSV files, in the same order.

    The settings are `titles`, of the tables by name, and the `names` of what the study has.
    """
    with job.logged() as log:
        for table, page in zip(tables, pages, strict=True):
            name = Path(table).stem
            title = job.settings["titles"][name]
            shown = table_page(
                read_table(table),
                title[0].upper() + title[1:],
                job.settings["names"],
                CHOSEN.get(name),
            )
            write_text(page, shown)
            log.info("%s", page)
