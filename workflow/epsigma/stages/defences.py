"""Stage defences: what each defence keeps, to whom, and what it costs."""

from collections.abc import Sequence

import pandas as pd

from epsigma.job import Job
from epsigma.pages import table_page
from epsigma.storage.files import write_text
from epsigma.tables.defences import tabulate_defences
from epsigma.tables.reading import read_table, write_table


def set_beside_cost(
    job: Job, *, robust: str, clean: str, costs: Sequence[str], defences: str, page: str
) -> None:
    """Write the table of defences, from tables and the cost of each data set's, and a page."""
    with job.logged():
        table = tabulate_defences(
            read_table(robust), read_table(clean), pd.concat([read_table(path) for path in costs])
        )
        write_table(defences, table, digits=6)
        write_text(
            page,
            table_page(
                table, "Defences: what they keep, and what they cost", job.settings.get("names", {})
            ),
        )
