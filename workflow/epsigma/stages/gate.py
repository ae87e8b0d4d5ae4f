"""Stage gate: stop if a check failed."""

from epsigma.checks.verdict import FAIL, NOT_JUDGED, VERDICTS, name_verdict
from epsigma.job import Job
from epsigma.storage.files import write_text
from epsigma.tables.reading import read_table


def gate(job: Job, *, checks: str, verdict: str) -> None:
    """Write as text how many checks passed, what failed, and what was not judged.

    Raises:
        ValueError: if a check failed and the study is `strict`; the message names the failures.
    """
    with job.logged():
        table = read_table(checks)
        counts = table["verdict"].value_counts()
        head = ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)
        left_out = table[table["verdict"] == NOT_JUDGED]["check"].tolist()
        failed = table[table["verdict"] == FAIL]
        lines = [f"  {name_verdict(row)}: {row['sentence']}" for _, row in failed.iterrows()]
        if left_out:
            head += f"; not judged, as `checks` asks: {', '.join(left_out)}"
        n = len(table) - len(left_out)
        text = "\n".join([f"{n} checks: {head}", *lines])
        if lines and job.settings["strict"]:
            raise ValueError(
                f"{text}\nAll tables and figures are written, and {checks} has every verdict. "
                "Don't publish what failed; `strict: false` in the configuration lets the run end "
                "well all the same."
            )
        write_text(verdict, text + "\n")
