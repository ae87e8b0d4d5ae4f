"""Stage check: let the workflow judge its own numbers."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from epsigma.checks import CHECKS
from epsigma.checks.verdict import FAIL, VERDICTS, Evidence, Verdict, name_verdict
from epsigma.job import Job
from epsigma.pages import table_page
from epsigma.storage.files import atomic_write, read_json, write_text
from epsigma.tables.reading import read_table


def check(
    job: Job,
    *,
    cells: str,
    paired: str,
    worst_case: str,
    detection: str,
    detectors: str,
    models: Sequence[str],
    conformance: Sequence[str],
    efforts: Sequence[str],
    checks: str,
    page: str,
) -> None:
    """Write `checks.csv`: a row a check and subject, failures first.

    Args:
        job: its settings are what is known of the `attacks` and `filters`, and the `rates` of the
            detectors, see `Evidence`.
        cells: `cells.csv`.
        paired: `paired.csv`.
        worst_case: `worst_case.csv`.
        detection: `detection.csv`.
        detectors: `detectors.csv`.
        models: JSON files of `probe_model`.
        conformance: JSON files of `probe_filter`.
        efforts: JSON files of `probe_attack`.
        checks: CSV to write, with the columns of `Verdict.row`.
        page: HTML to write, that shows it.
    """
    with job.logged() as log:
        evidence = Evidence(
            read_table(cells),
            read_table(paired),
            read_table(worst_case),
            job.settings["attacks"],
            job.settings["filters"],
            [_facts(path) for path in models],
            [_facts(path) for path in conformance],
            [_facts(path) for path in efforts],
            detection=read_table(detection),
            detectors=read_table(detectors),
            rates=job.settings["rates"],
        )
        table = tabulate_verdicts(verdicts(evidence))
        with atomic_write(checks) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        write_text(page, table_page(table, "Verdicts of the checks"))
        log.info("%s", dict(table["verdict"].value_counts()))


def verdicts(evidence: Evidence) -> list[Verdict]:
    """Run all checks."""
    return [verdict for check in CHECKS for verdict in check(evidence)]


def _facts(path: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path)
    if "seed" in found["cell"]:
        found["cell"]["seed"] = int(found["cell"]["seed"])
    return found


def tabulate_verdicts(found: Sequence[Verdict]) -> pd.DataFrame:
    """Put verdicts into a table, failures first, then warnings."""
    ordered = sorted(found, key=lambda verdict: -VERDICTS.index(verdict.verdict))
    return pd.DataFrame([verdict.row for verdict in ordered]).astype({"seed": "Int64"})


def gate(job: Job, *, checks: str, verdict: str) -> None:
    """Stop if a check failed.

    Args:
        job: its settings say whether the study is `strict`.
        checks: `checks.csv`.
        verdict: text to write: how many checks passed, and what failed.

    Raises:
        ValueError: if a check failed and the study is strict; the message names the failures.
    """
    with job.logged():
        table = read_table(checks)
        counts = table["verdict"].value_counts()
        head = ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)
        failed = table[table["verdict"] == FAIL]
        lines = [f"  {name_verdict(row)}: {row['sentence']}" for _, row in failed.iterrows()]
        text = "\n".join([f"{len(table)} checks: {head}", *lines])
        if lines and job.settings["strict"]:
            raise ValueError(
                f"{text}\nAll tables and figures are written, and {checks} has every verdict. "
                "Don't publish what failed; `strict: false` in the configuration lets the run end "
                "well all the same."
            )
        write_text(verdict, text + "\n")
