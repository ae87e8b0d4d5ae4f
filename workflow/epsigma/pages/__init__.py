"""Pages of the report, each in a file that needs no other."""

import json
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


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


def short(value: Any) -> str:
    """Write a number for a reader, to four figures; a dash for no number."""
    if value is None or pd.isna(value):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
