"""The page of results, made of whichever parts were measured."""

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks import PAGE, RESULTS
from benchmarks.bars import (
    COPY,
    FROZEN,
    OURS,
    Figure,
    bars,
    chosen,
    fastest,
    figure_of,
    per_cell,
    per_image,
    ratio,
    rivals,
    runs_of,
)
from benchmarks.builds import EARLIER
from benchmarks.results import read_parts

PARTS = ("sweep", "studies", "filters", "attacks", "scale", "profile")
MILLION = 1_000_000
# The packages that a figure depends on.
TOLD = (
    "snakemake", "torch", "torchvision", "kornia", "pytorch-lightning", "numpy", "scipy",
    "opencv-python-headless", "foolbox", "torchattacks", "adversarial-robustness-toolbox",
)  # fmt: skip


def write_page(folder=RESULTS, page=PAGE):
    """Render the page, and draw the profile."""
    tables, about = read_parts(PARTS, folder)
    if "profile" in tables:
        from benchmarks import profile, timeline

        profile.draw(tables["profile"], folder)
        timeline.draw(tables["profile"], folder)
    page.write_text(render(tables, about))


def render(tables, about):
    """Write the page of the tables and the conditions of the parts, each by name."""
    environment = Environment(
        loader=FileSystemLoader(str(PAGE.parent)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"short": short, "range": spread, "only": only}
    machines = list({str(one["machine"]): one["machine"] for one in about.values()}.values())
    versions = {name: one for part in about.values() for name, one in part["versions"].items()}
    return environment.get_template("results.md.j2").render(
        parts=[part for part in PARTS if part in about],
        missing=[part for part in PARTS if part not in about],
        about=about,
        machines=machines,
        told=[(name, versions[name]) for name in TOLD if name in versions],
        versions=versions,
        bars=bars(tables),
        sweep=sweep_rows(runs_of(tables)),
        filters=filter_rows(tables.get("filters")),
        attacks=attack_rows(tables.get("attacks")),
        scale=scale_rows(tables.get("scale")),
        million=million(tables.get("scale")),
        profile=profile_rows(tables.get("profile")),
    )


def sweep_rows(table):
    """A row a study, variant and change: seconds, and what they are to those of others."""
    rows = []
    for (study, what, variant), found in _groups(table, ["study", "what", "variant"]):
        # The earlier build after the same change, the scripts as they are.
        others = [
            chosen(table, study=study, what=done, variant=name)
            for name, done in (
                ("script (a)", "cold"),
                ("script (b)", "cold"),
                (EARLIER.name, what),
            )
        ]
        rows.append(
            {
                "study": study,
                "what": what,
                "variant": variant,
                "seconds": figure_of(found),
                "processor": figure_of(found, "processor_seconds"),
                "memory": figure_of(found, "peak_mib"),
                "ratios": [ratio(found, other) for other in others],
            }
        )
    return rows


def filter_rows(table):
    """A row a shape, filter and library: milliseconds, and ours over theirs."""
    rows = []
    for (shape, name, library), found in _groups(table, ["shape", "filter", "library"]):
        ours = chosen(table, shape=shape, filter=name, library=OURS)
        rows.append(
            {
                "shape": shape.replace("x", "×"),
                "filter": name,
                "library": library,
                "batch": int(found["batch"].iloc[0]),
                "milliseconds": figure_of(found.assign(seconds=found["seconds"] * 1000)),
                "ratio": None if library == OURS else ratio(ours, found),
                "differs": None if library in (OURS, COPY) else found["differs"].max(),
            }
        )
    return rows


def attack_rows(table):
    """A row a network, attack and library: images a second, success, distortion, ratio."""
    rows = []
    for (network, name, library), found in _groups(table, ["network", "attack", "library"]):
        ours = per_image(chosen(table, network=network, attack=name, library=OURS))
        found = per_image(found)
        rate = found.assign(rate=1 / found["seconds"])
        everyone = per_image(chosen(table, network=network, attack=name))
        best = fastest(rivals(everyone))
        rows.append(
            {
                "network": network,
                "attack": name,
                "library": library,
                "batch": int(found["batch"].iloc[0]),
                "images": int(found["images"].iloc[0]),
                "rate": figure_of(rate, "rate"),
                "success": found["success"].mean(),
                "norms": [found[norm].mean() for norm in ("linf", "l2", "l0")],
                "ratio": None if library == OURS else ratio(ours, found),
                "is_best": not best.empty and library == best["library"].iloc[0],
                "is_variant": library.endswith(FROZEN),
            }
        )
    return rows


def scale_rows(table):
    """A row a size and mode."""
    names = ("dag_seconds", "seconds", "noop_seconds", "peak_mib", "records", "records_mib")
    rows = []
    for (asked, cells, mode), found in _groups(table, ["asked", "cells", "mode"]):
        cost = per_cell(table, cells, mode) if asked == "cells" else None
        if cost and cells == table["cells"].min():
            cost = None
        figures = {name: figure_of(found, name) for name in names}
        rows.append({"asked": asked, "cells": cells, "mode": mode, "cost": cost, **figures})
    return rows


def million(table):
    """What a million cells would take, a mode a row: the largest two sizes, drawn on straight."""
    rows = []
    for (mode,), found in _groups(chosen(table, asked="cells"), ["mode"]):
        sizes = sorted(found["cells"].unique())[-2:]
        few, many = (found[found["cells"] == size] for size in sizes)
        # A mode that the largest grid is too much for cannot be drawn on.
        if len(sizes) < 2 or sizes[-1] < table["cells"].max():
            continue

        def at_a_million(name, few=few, many=many, sizes=sizes):
            low, high = few[name].median(), many[name].median()
            return high + (high - low) / (sizes[1] - sizes[0]) * (MILLION - sizes[1])

        rows.append(
            {
                "mode": mode,
                "sizes": sizes,
                "hours": at_a_million("seconds") / 3600,
                "dag_minutes": at_a_million("dag_seconds") / 60,
                "noop_minutes": at_a_million("noop_seconds") / 60,
                "memory_gib": at_a_million("peak_mib") / 1024,
                "records": at_a_million("records"),
                "records_gib": at_a_million("records_mib") / 1024,
                "results": at_a_million("results"),
                "results_gib": at_a_million("results_mib") / 1024,
            }
        )
    return rows


def profile_rows(table):
    """A row a study and activity: core-seconds, and their part of all."""
    rows = []
    for (study, activity), found in _groups(table, ["study", "activity"]):
        whole = chosen(table, study=study).groupby("activity")["core_seconds"].median().sum()
        seconds = figure_of(found, "core_seconds")
        wall = figure_of(found, "wall_seconds")
        rows.append(
            {
                "study": study,
                "activity": activity,
                "seconds": seconds,
                "share": seconds.median / whole,
                "wall": wall,
            }
        )
    return rows


def short(value, digits=3):
    """Write a number for a reader; a dash for none."""
    if value is None or pd.isna(value):
        return "–"
    if isinstance(value, Figure):
        value = value.median
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def spread(figure):
    """Write a figure's range; a dash for none."""
    if figure is None:
        return "–"
    low, high = short(figure.low), short(figure.high)
    return low if low == high else f"{low} … {high}"


def only(rows, **wanted):
    """The rows whose entries are so."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _groups(table, names):
    return () if table is None or table.empty else table.groupby(names, sort=False)
