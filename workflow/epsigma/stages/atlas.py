"""Stage atlas: every filter at its best strength, a table and a page."""

from epsigma.job import Job
from epsigma.pages import tables_page
from epsigma.pages.wording import CHOSEN
from epsigma.storage.files import write_text
from epsigma.tables.atlas import tabulate_atlas
from epsigma.tables.reading import read_table, write_table


def set_side_by_side(
    job: Job, *, defences: str, cells: str, seeds: str, atlas: str, page: str
) -> None:
    """Write the table of all filters, and a page with one of each data set."""
    with job.logged():
        table = tabulate_atlas(read_table(defences), read_table(cells), read_table(seeds))
        write_table(atlas, table, digits=6)
        names = job.settings.get("names", {})
        parts = {
            str(names.get("datasets", {}).get(name, name)): rows
            for name, rows in table.groupby("dataset", sort=False)
        }
        title = "Atlas: what every filter keeps, and costs"
        write_text(page, tables_page(parts, title, names, CHOSEN["atlas"]))
