"""Stage card: one page an attack, with all that a reviewer would ask of it."""

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from epsigma.checks.verdict import PASS, name_verdict
from epsigma.figures.levels import spelled_label
from epsigma.job import Job
from epsigma.loading import load
from epsigma.pages import render
from epsigma.pages.wording import Worded, word_table
from epsigma.storage.files import read_json, write_text
from epsigma.storage.provenance import versions
from epsigma.tables.cells import PARTS
from epsigma.tables.reading import read_table
from epsigma.vocabulary import FIXED, NO_FILTER

# Columns of `cells.csv`, `distortion.csv`, `optimality.csv` and `fooling.csv` on a card.
CELLS = (
    *("seed", "budget", "n", "accuracy", "n_correct_clean", "attack_success", "linf", "l2", "l0"),
)
# Those of sets that are no float32.
STORED = ("stored_as", "n_fooled_unrounded", "lost")
DISTORTION = (
    *("seed", "budget", "n", "n_independent", "success"),
    *("l2", "l2_all", "l2_best", "l2_worst", "changed", "changed_all"),
)
OPTIMALITY = ("seed", "norm", "n", "attacks", "largest", "optimality")
FOOLING = ("seed", "budget", "target", "target_name", "n", "n_accepted", "n_named", "confidence")
FOOLED_BY = "first fooled by "
WHERE = ("attack", "dataset", "model")
# What a probe may lack.
PROBED = ("spends", "tried", "errors", "sizes", "lost_gradients")


def make_card(
    job: Job,
    *,
    cells: str,
    distortion: str,
    optimality: str,
    fooling: str,
    checks: str,
    convergence: str | Sequence[str],
    probes: Sequence[str],
    card: str,
) -> None:
    """Write an attack's card: hyper-parameters, results, convergence, verdicts and versions.

    It reads five tables, the SVG of the loss (`convergence`, an empty list if none is followed) and
    JSON of `epsigma.stages.probe`, and writes HTML that needs no other file. The job's cell names
    `dataset`, `model` and `attack`; its settings are the attack's `block` of the configuration, the
    `implementation`, the `descriptions` of its hyper-parameters by name, and the `names` that
    readers know.
    """
    with job.logged():
        page = render(
            "card.html.j2",
            title=_name_subject(job),
            **_describe_attack(job),
            unfiltered=(unfiltered := _select_rows(cells, job, [*CELLS, *STORED])),
            ensemble=any(name.startswith(FOOLED_BY) for name in unfiltered.columns),
            targeted=_select_rows(distortion, job, DISTORTION),
            optimality=_select_rows(optimality, job, OPTIMALITY),
            fooling=_select_rows(fooling, job, FOOLING),
            probes=[_word_probe(read_json(path), job.settings["names"]) for path in probes],
            figure=_read_figure(convergence),
            **_list_verdicts(checks, job),
            versions=versions(),
            code=job.code,
        )
        write_text(card, page)


def _name_subject(job: Job) -> str:
    """Say what the card is of, as a reader would."""
    named = word_table(pd.DataFrame([job.cell]), job.settings["names"], tuple(WHERE)).rows[0]
    return ", ".join(named)


def _word_probe(probe: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Add to what a probe found, in a reader's words, what was attacked and at which budget."""
    cell = probe["cell"]
    filter_name = names.get("filters", {}).get(cell["filter"], cell["filter"])
    level = "" if cell["strength"] == FIXED else f" {spelled_label(cell['strength'])}"
    said = f"seed {cell['seed']}, {filter_name}{level}, {cell['threat']}"
    return {**dict.fromkeys(PROBED), **probe, "said": said, "at": spelled_label(probe["budget"])}


def _read_figure(convergence: str | Sequence[str]) -> str:
    """Read an SVG as part of a page; nothing if there is none."""
    if not isinstance(convergence, str):
        return ""
    svg = Path(convergence).read_text(encoding="utf-8")
    # The prologue of a file of its own has no place within a page.
    return svg[svg.index("<svg") :]


def _describe_attack(job: Job) -> dict[str, Any]:
    """Say what the attack is, and list its hyper-parameters with their descriptions."""
    block, descriptions = job.settings["block"], job.settings["descriptions"]
    return {
        "kind": block["kind"],
        "implementation": job.settings["implementation"],
        "definition": inspect.getdoc(load(job.settings["implementation"])) or "",
        "parameters": [
            (name, json.dumps(value, ensure_ascii=False), descriptions.get(name, ""))
            for name, value in block.items()
            if name not in ("kind", "name")
        ],
    }


def _read_rows(path: str, job: Job) -> pd.DataFrame:
    """Read the rows of a table that are about the attack."""
    table = read_table(path)
    for name in ("dataset", "model", "attack"):
        table = table[table[name] == job.cell[name]]
    return table


def _select_rows(path: str, job: Job, columns: Sequence[str]) -> Worded:
    """Word columns of the attack's rows without a filter, and those of an ensemble's attacks."""
    rows = _read_rows(path, job)
    rows = rows[rows["filter"] == NO_FILTER]
    counts = [str(name) for name in rows if str(name).startswith(PARTS)]
    return word_table(rows, job.settings["names"], [*columns, *counts])


def _list_verdicts(checks: str, job: Job) -> dict[str, Any]:
    """Count the verdicts on the attack, and list those that are no pass."""
    verdicts = _read_rows(checks, job)
    unusual = verdicts[verdicts["verdict"] != PASS]
    return {
        "counts": verdicts["verdict"].value_counts().to_dict(),
        "verdicts": [
            (row["verdict"], name_verdict(row), row["sentence"]) for _, row in unusual.iterrows()
        ],
    }
