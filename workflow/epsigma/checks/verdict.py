"""What a check says, of what, and which figures a failure casts doubt on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from epsigma.cell import FIXED_LEVEL, Cell, Level
from epsigma.vocabulary import BLIND

PASS, WARN, FAIL = VERDICTS = ("pass", "warn", "fail")
# Of a check that the study does not ask for.
NOT_JUDGED = "not judged"

# Columns that say what a check looked at, a cell or all cells of some sort; empty where it looked
# at all there is. A verdict is of all budgets.
SUBJECT = tuple(field.name for field in fields(Cell) if field.name != "budget")


@dataclass(frozen=True)
class Verdict:
    """A row of `checks.csv`.

    The `subject` is by the names in `SUBJECT`, `strength` as paths spell it; the `verdict` is one
    of `VERDICTS`, or `NOT_JUDGED`; the `figure` is held against the `threshold`, and the `sentence`
    says what that means.
    """

    check: str
    subject: Mapping[str, Any]
    verdict: str
    figure: float
    threshold: float
    sentence: str

    @property
    def row(self) -> dict[str, Any]:
        """The columns of `checks.csv`."""
        return {
            "check": self.check,
            **{name: self.subject.get(name) for name in SUBJECT},
            "verdict": self.verdict,
            "figure": self.figure,
            "threshold": self.threshold,
            "sentence": self.sentence,
        }


def judged(holds: bool, otherwise: str = FAIL) -> str:
    """Return `pass` if it holds, else what the check says otherwise."""
    return PASS if holds else otherwise


def at_most(
    check: str,
    subject: Mapping[str, Any],
    figure: float,
    threshold: float,
    sentence: str,
    otherwise: str = FAIL,
) -> Verdict:
    """Judge that a figure is at most its threshold."""
    verdict = judged(figure <= threshold, otherwise)
    return Verdict(check, subject, verdict, figure, threshold, sentence)


def leave_out(check: str) -> Verdict:
    """Say of a check that the study does not ask for it."""
    sentence = "The study's `checks` leave it out."
    return Verdict(check, {}, NOT_JUDGED, math.nan, math.nan, sentence)


def tabulate_verdicts(found: Sequence[Verdict]) -> pd.DataFrame:
    """Put verdicts into a table, failures first, then warnings; what is not judged comes last."""
    order = (*reversed(VERDICTS), NOT_JUDGED)
    ordered = sorted(found, key=lambda verdict: order.index(verdict.verdict))
    rows = [verdict.row for verdict in ordered]
    columns = ("check", *SUBJECT, "verdict", "figure", "threshold", "sentence")
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})


def concerns(
    table: pd.DataFrame, checks: pd.DataFrame, norms: Mapping[str, str | None] | None = None
) -> "pd.Series[bool]":
    """Find the rows of a table of cells that a failed check casts doubt on.

    Args:
        table: rows with some of the columns that say which cell they are of. Without `attack` they
            are worst cases over attacks of a `norm`, an aware one over blind attacks, too.
        checks: `checks.csv`.
        norms: of the attacks, by name; only needed for worst cases.
    """
    doubt = pd.Series(False, table.index)
    are_worst_cases = "attack" not in table
    names = [name for name in SUBJECT if name in table and name != "strength"]
    levels = zip(table["strength_name"], table["strength"], strict=True)
    strengths = pd.Series([spell_strength(*level) for level in levels], table.index, dtype=object)
    for _, row in checks[checks["verdict"] == FAIL].iterrows():
        concerned = pd.Series(True, table.index)
        for name in names:
            reaches_aware = are_worst_cases and name == "threat" and row[name] == BLIND
            if not pd.isna(row[name]) and not reaches_aware:
                concerned &= table[name] == row[name]
        if are_worst_cases and norms and not pd.isna(row["attack"]):
            concerned &= table["norm"] == norms[row["attack"]]
        if not pd.isna(row["strength"]):
            concerned &= strengths == row["strength"]
        doubt |= concerned
    return doubt


def spell_strength(name: Any, value: Any) -> str:
    """Spell a strength of a table as paths do."""
    return str(FIXED_LEVEL if pd.isna(value) else Level(str(name), float(value)))


def name_verdict(row: "pd.Series[Any]") -> str:
    """Name a check and what it looked at."""
    # A column of whole numbers with gaps is read as floating-point numbers.
    subject = " ".join(
        str(int(row[name]) if name == "seed" else row[name])
        for name in SUBJECT
        if not pd.isna(row[name])
    )
    return f"{row['check']} ({subject})"
