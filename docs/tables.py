"""Write the tables and the figure of the documentation from the CSV files in docs/tables.

`make docs` runs this file. It rewrites what stands between `<!-- table: NAME -->` and
`<!-- end -->` in README.md and in the pages of docs/, and draws docs/images/accuracy.svg.
"""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from matplotlib.typing import RcKeyType

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "tables"
FIGURE = ROOT / "docs" / "images" / "accuracy.svg"

BLOCK = re.compile(r"(<!-- table: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
STYLE: dict[RcKeyType, Any] = {
    "svg.hashsalt": "epsigma",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.titlesize": 10,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}
# The curves of a panel, by threat model.
CURVES: dict[str, dict[str, Any]] = {
    "none": {"color": "0.45", "linestyle": (0, (1, 1.2)), "label": "no filter"},
    "blind": {"color": "#2a6fbb", "marker": "o", "label": "blind attacker"},
    "aware": {"color": "#c1440e", "marker": "s", "label": "aware attacker"},
}

Row = Mapping[str, str]


def with_interval(name: str, unit: str = "") -> str:
    """Make the template of a rate and, where there is one, its interval."""
    return f"{{{name}}}{unit} ({{{name}_low}} … {{{name}_high}})"


# For each table its columns: the title, and a template of the fields of a row.
COLUMNS: dict[str, dict[str, str]] = {
    "headline": {
        "ε": "{eps}",
        "filter": "{filter}",
        "strength": "{strength}",
        "blind": with_interval("blind", " %"),
        "aware": with_interval("aware", " %"),
        "clean cost (points)": "{clean_cost}",
    },
    "pgd": {
        "ε": "{eps}",
        "filter": "{filter}",
        "best strength": "{strength}",
        "blind": "{blind} %",
        "aware": with_interval("aware", " %"),
    },
    "paper": {
        "attack": "{attack}",
        "filter": "{filter}",
        "the paper": "{paper}",
        "accuracy here": with_interval("here", " %"),
        "without the filter": "{unfiltered} %",
        "comment": "{comment}",
    },
    "reference": {
        "model": "{model}",
        "attack": "{attack}",
        "quantity": "{quantity}",
        "published": "{published} ({source})",
        "here": with_interval("here"),
        "comment": "{comment}",
    },
    "defences": {
        "defence": "{defence}",
        "clean": "{clean}",
        "ε = 0.1: blind": with_interval("blind_01"),
        "ε = 0.1: aware": with_interval("aware_01"),
        "ε = 0.3: blind": with_interval("blind_03"),
        "ε = 0.3: aware": with_interval("aware_03"),
    },
    "atlas": {
        "data set": "{dataset}",
        "filter": "{filter}",
        "strength": "{strength}",
        "clean": "{clean}",
        "blind": with_interval("blind"),
        "aware": with_interval("aware"),
        "PGD alone": "{pgd}",
        "certified": "{certified}",
        "µs an image": "{microseconds}",
        "attacked by": "{by}",
    },
    "atlas_retrained": {
        "data set": "{dataset}",
        "filter": "{filter}",
        "trained through it": "{retrained}",
        "clean": "{clean}",
        "blind": with_interval("blind"),
        "aware": with_interval("aware"),
        "without the filter: clean": "{bare_clean}",
        "attacked": with_interval("bare"),
    },
    "atlas_quick": {
        "model": "{model}",
        "filter": "{filter}",
        "strength": "{strength}",
        "clean": "{clean}",
        "blind": with_interval("blind"),
        "aware": with_interval("aware"),
        "µs an image": "{microseconds}",
    },
    "cost": {
        "defence": "{defence}",
        "training, s more": "{extra_training_seconds}",
        "parameters": "{parameters:,}",
        "multiply-adds": "{multiply_adds_millions} M",
        "µs an image": "{microseconds}",
    },
    "columns": {
        "configuration": "{configuration}",
        "cells": "{cells}",
        "jobs, `columns: none`": "{jobs_none}",
        "`filter`": "{jobs_filter}",
        "`attack`": "{jobs_attack}",
    },
}
COLUMNS["atlas_cnn"] = {name: of for name, of in COLUMNS["atlas"].items() if name != "certified"}
COLUMNS["atlas_trained"] = COLUMNS["atlas_cnn"]
# Two tables show the same rows.
SOURCES = {"cost": "defences"}


def read_rows(name: str) -> list[dict[str, str]]:
    """Read the rows of a table as they are written: `13.0` stays `13.0`."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fill_in(template: str, row: Row) -> str:
    """Fill in a template; what is missing leaves no unit and no interval behind."""
    rate, *others = re.findall(r"\{(\w+)", template)
    if not row[rate]:
        return ""
    if f"{rate}_low" in others and not row[f"{rate}_low"]:
        template = template.partition(" ({")[0]
    # Whole numbers as such, for `{x:,}`.
    return template.format_map({key: int(x) if x.isdigit() else x for key, x in row.items()})


def render_table(name: str) -> str:
    """Render a table as Markdown, lines that end with a newline."""
    columns = COLUMNS[name]
    rows = read_rows(SOURCES.get(name, name))
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[fill_in(template, row) for template in columns.values()] for row in rows]
    return "".join(
        f"|{''.join(f' {cell} |' if cell else ' |' for cell in line)}\n" for line in lines
    )


def render_page(text: str) -> str:
    """Write every table of a page anew; the rest stays as it is.

    Raises:
        KeyError: if a marker names no table.
    """
    return BLOCK.sub(lambda found: found[1] + render_table(found["name"]) + found[3], text)


def pages() -> list[Path]:
    """List the pages that may have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def draw_panel(panel: Axes, name: str, rows: list[dict[str, str]]) -> None:
    """Draw the curves of a filter, and the one without a filter, with their intervals."""
    for threat, style in CURVES.items():
        points = sorted(
            [float(row[key]) for key in ("eps", "accuracy", "low", "high")]
            for row in rows
            if row["threat"] == threat and row["filter"] in (name, "none")
        )
        eps, accuracy, low, high = zip(*points, strict=True)
        panel.fill_between(eps, low, high, color=style["color"], alpha=0.2, linewidth=0)
        panel.plot(eps, accuracy, clip_on=False, **style)
    panel.set(title=name, xlim=(0, 0.3), ylim=(0, 1), xticks=[0, 0.1, 0.2, 0.3])
    panel.yaxis.set_major_formatter(PercentFormatter(1))
    panel.grid(color="0.92")
    panel.set_axisbelow(True)


def draw_figure() -> bytes:
    """Draw accuracy over ε, blind and aware, a panel a filter; the same bytes each time.

    Returns:
        An SVG document.
    """
    rows = read_rows("curves")
    filters = list(dict.fromkeys(row["filter"] for row in rows if row["filter"] != "none"))
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(9.2, 2.9), layout="constrained")
        panels = figure.subplots(1, len(filters), sharex=True, sharey=True)
        for panel, name in zip(panels, filters, strict=True):
            draw_panel(panel, name, rows)
        panels[0].set_ylabel("accuracy")
        figure.supxlabel("ε, radius of the ℓ∞ ball (pixel range is 0 to 1)", fontsize=9)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


def main() -> None:
    """Rewrite the pages and the figure."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        path.write_text(render_page(text), encoding="utf-8")
    FIGURE.parent.mkdir(exist_ok=True)
    FIGURE.write_bytes(draw_figure())


if __name__ == "__main__":
    main()
