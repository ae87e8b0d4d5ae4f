"""Stage check: let the workflow judge its own numbers."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from epsigma.checks.evidence import Evidence
from epsigma.checks.remedies import add_remedy
from epsigma.checks.verdict import leave_out, tabulate_verdicts
from epsigma.job import Job
from epsigma.loading import load
from epsigma.pages import table_page
from epsigma.storage.files import read_json, write_text
from epsigma.tables.reading import Tables, write_table
from epsigma.vocabulary import FLOAT32


def check(
    job: Job,
    *,
    tables: Sequence[str],
    model_probes: Sequence[str],
    filter_probes: Sequence[str],
    attack_probes: Sequence[str],
    checks: str,
    page: str,
) -> None:
    """Write `checks.csv`, a row a check and subject, failures first, and a page that shows it.

    It reads `cells.csv`, the tables that are made of ledgers, and JSON files of
    `epsigma.stages.probe`. The job's settings are the `attacks`, `filters` and `rates` of
    `Evidence`; `checks`, by name the function of `Evidence` that yields the verdicts, as
    `package.module:name`; and `left_out`, the names of those that the study does not ask for; and
    `stored_as`, if sets are no float32. The
    columns are those of `Verdict.row`.
    """
    with job.logged() as log:
        evidence = Evidence(
            Tables(tables),
            **{name: job.settings[name] for name in ("attacks", "filters", "rates")},
            model_probes=[_read_probe(path) for path in model_probes],
            filter_probes=[_read_probe(path) for path in filter_probes],
            attack_probes=[_read_probe(path) for path in attack_probes],
            stored_as=job.settings.get("stored_as", FLOAT32),
        )
        made = [load(name)(evidence) for name in job.settings["checks"].values()]
        left_out = map(leave_out, job.settings["left_out"])
        judged = map(add_remedy, chain.from_iterable(made))
        table = tabulate_verdicts([*judged, *left_out])
        write_table(checks, table, digits=6)
        write_text(page, table_page(table, "Verdicts of the checks", job.settings.get("names", {})))
        log.info("%s", dict(table["verdict"].value_counts()))


def _read_probe(path: str) -> dict[str, Any]:
    """Read what a probe found; its seed, if it has one, as the number that tables have."""
    found: dict[str, Any] = read_json(path)
    if "seed" in found["cell"]:
        found["cell"]["seed"] = int(found["cell"]["seed"])
    return found
