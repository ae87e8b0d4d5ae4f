"""Pages of the report, each in a file that needs no other."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from epsigma.pages.wording import Worded, word_table, write_number, write_percent


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
    return tables_page({"": table}, title, names, columns)


def tables_page(
    tables: Mapping[str, pd.DataFrame],
    title: str,
    names: Mapping[str, Any],
    columns: Sequence[str] | None = None,
) -> str:
    """Show several tables on a page, by their headings, as `table_page` does one; `""` for none."""
    worded = [(heading, word_table(table, names, columns)) for heading, table in tables.items()]
    return render("table.html.j2", title=title, tables=worded or [("", Worded([], []))])


def render_explorer(data: Any) -> str:
    """Fill the explorer's page with its style, its script, and its data as JSON."""
    # As in a script: no text of the data can end it, and none is markup.
    told = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        told = told.replace(letter, f"\\u{ord(letter):04x}")
    folder = files("epsigma.pages")
    style, script = (
        (folder / f"explorer.{suffix}").read_text(encoding="utf-8") for suffix in ("css", "js")
    )
    return render("explorer.html.j2", style=Markup(style), script=Markup(script), data=Markup(told))
