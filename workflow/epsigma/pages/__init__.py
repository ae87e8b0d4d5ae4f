"""Pages of the report, each in a file that needs no other."""

from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **content: Any) -> str:
    """Fill in a template of this folder; what it is given is escaped."""
    environment = Environment(
        loader=PackageLoader("epsigma", "pages"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["short"] = short
    return environment.get_template(template).render(**content)


def table_page(table: pd.DataFrame, title: str) -> str:
    """Show a table on a page."""
    columns = [name for name in table if not table[name].isna().all()]
    shown = table[columns].astype(object)
    return render("table.html.j2", title=title, columns=columns, rows=shown.values.tolist())


def short(value: Any) -> str:
    """Write a number for a reader, to four figures; a dash for no number."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
