"""Stage card: one page an attack, with all that a reviewer would ask of it."""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from epsigma.checks.verdict import PASS, name_verdict
from epsigma.job import Job
from epsigma.loading import load
from epsigma.pages import render
from epsigma.storage.files import read_json, write_text
from epsigma.storage.provenance import versions
from epsigma.tables.cells import COLUMNS
from epsigma.tables.reading import read_table
from epsigma.vocabulary import NO_FILTER

# Columns of `cells.csv` and `distortion.csv` on a card.
CELLS = ("seed", "budget", *COLUMNS[COLUMNS.index("n") : COLUMNS.index("linf_max")])
DISTORTION = (
    "seed",
    "budget",
    "n",
    "success",
    "success_low",
    "success_high",
    "l2",
    "l2_all",
    "l2_best",
    "l2_worst",
    "changed",
    "changed_all",
)


def make_card(
    job: Job,
    *,
    cells: str,
    distortion: str,
    fooling: str,
    checks: str,
    convergence: str,
    efforts: Sequence[str],
    card: str,
) -> None:
    """Write an attack's card: hyper-parameters, results, convergence, verdicts and versions.

    Args:
        job: its cell names `dataset`, `model` and `attack`; its settings are the attack's `block`
            of the configuration, the `implementation`, and the `descriptions` of its
            hyper-parameters by name.
        cells: `cells.csv`.
        distortion: `distortion.csv`.
        fooling: `fooling.csv`.
        checks: `checks.csv`.
        convergence: SVG of the loss, to be shown on the card.
        efforts: JSON files of `epsigma.stages.probe.probe_attack`.
        card: HTML to write, that needs no other file.
    """
    with job.logged():
        block, descriptions = job.settings["block"], job.settings["descriptions"]
        verdicts = _mine(read_table(checks), job)
        unusual = verdicts[verdicts["verdict"] != PASS]
        scored = _mine(read_table(cells), job)
        bare = scored[scored["filter"] == NO_FILTER]
        aimed = _mine(read_table(distortion), job)
        aimed = aimed[aimed["filter"] == NO_FILTER]
        fooled = _mine(read_table(fooling), job)
        fooled = fooled[fooled["filter"] == NO_FILTER]
        svg = Path(convergence).read_text(encoding="utf-8")
        text = render(
            "card.html.j2",
            cell=job.cell,
            about=inspect.getdoc(load(job.settings["implementation"])) or "",
            implementation=job.settings["implementation"],
            parameters=[
                (name, json.dumps(value, ensure_ascii=False), descriptions.get(name, ""))
                for name, value in block.items()
                if name not in ("kind", "name")
            ],
            kind=block["kind"],
            bare=_rows(bare, CELLS),
            aimed=_rows(aimed, DISTORTION),
            fooled=_rows(
                fooled, ("seed", "budget", "target", "n", "n_accepted", "n_named", "confidence")
            ),
            efforts=[_effort(read_json(path)) for path in efforts],
            # The prologue of a file of its own has no place within a page.
            figure=svg[svg.index("<svg") :],
            counts=verdicts["verdict"].value_counts().to_dict(),
            verdicts=[
                (row["verdict"], name_verdict(row), row["sentence"])
                for _, row in unusual.iterrows()
            ],
            versions=versions(),
            code=job.code,
        )
        write_text(card, text)


def _mine(table: pd.DataFrame, job: Job) -> pd.DataFrame:
    for name in ("dataset", "model", "attack"):
        table = table[table[name] == job.cell[name]]
    return table


def _rows(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, Any]:
    # Column by column: as one array, whole numbers would become floating-point ones.
    return {
        "columns": columns,
        "rows": list(zip(*(table[name].tolist() for name in columns), strict=True)),
    }


def _effort(found: dict[str, Any]) -> dict[str, Any]:
    cell = found["cell"]
    level = "" if cell["filter"] == NO_FILTER else f" {cell['strength']}"
    return {
        "attacked": f"seed {cell['seed']}, {cell['filter']}{level}, {cell['threat']}",
        "budget": found["budget"],
        "n": found["n"],
        "effort": found.get("effort"),
        "tried": found.get("tried"),
        "errors": found.get("errors"),
        "sizes": found.get("sizes"),
        "lost_gradients": found.get("lost_gradients"),
    }
