"""Pages of the report, each in a file that needs no other."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from epsigma.pages.wording import word_table, write_number, write_percent


def render(template: str, **content: Any) -> str:
    """Fill in a template of this folder; what it is given is escaped."""
    environment = Environment(
        loader=PackageLoader("epsigma", "pages"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["short"] = write_number
    environment.filters["percent"] = write_percent
    return environment.get_template(template).render(**content)


def table_page(
    table: pd.DataFrame,
    title: str,
    names: Mapping[str, Any],
    columns: Sequence[str] | None = None,
) -> str:
    """Show a table on a page, in a reader's words.

    Args:
        table: as its CSV file has it.
        title: of the page.
        names: what readers call the study's blocks, see `epsigma.plan.names`.
        columns: those that are shown; all, if left out.
    """
    return render("table.html.j2", title=title, table=word_table(table, names, columns))
