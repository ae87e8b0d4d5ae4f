"""What a check says, and what it says it of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from epsigma.cell import Level
from epsigma.vocabulary import BLIND

PASS, WARN, FAIL = VERDICTS = ("pass", "warn", "fail")

# Columns that say what a check looked at; empty where it looked at all there is.
SUBJECT = ("dataset", "model", "seed", "threat", "attack", "filter", "strength")

# How unlikely chance must be before a check says that one rate of a curve is below another. A study
# has hundreds of curves, and none should fail for nothing.
SIGNIFICANCE = 0.001


@dataclass(frozen=True)
class Verdict:
    """A row of `checks.csv`.

    Args:
        check: its name.
        subject: by the names in `SUBJECT`; `strength` as paths spell it.
        verdict: one of `VERDICTS`.
        figure: what was measured.
        threshold: what it is held against.
        sentence: what that means, for a reader.
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


@dataclass(frozen=True)
class Evidence:
    """What the checks look at.

    Args:
        cells: `cells.csv`.
        paired: `paired.csv`.
        worst_case: `worst_case.csv`.
        attacks: of each attack, `family` and `norm`.
        filters: of each filter, `kind`, `gradient`, `random`, the `detectors` that look at what it
            is given, and whether some of it is `learnt`.
        models: what `epsigma.stages.probe.probe_model` found, a dict a model and seed.
        conformance: what `probe_filter` found, a dict a filter and strength.
        efforts: what `probe_attack` found, a dict an attack and target.
        detection: `detection.csv`.
        detectors: `detectors.csv`.
        rates: of each detector, the share of false positives that it was to have.
    """

    cells: pd.DataFrame
    paired: pd.DataFrame
    worst_case: pd.DataFrame
    attacks: Mapping[str, Mapping[str, Any]]
    filters: Mapping[str, Mapping[str, Any]]
    models: list[dict[str, Any]] = field(default_factory=list)
    conformance: list[dict[str, Any]] = field(default_factory=list)
    efforts: list[dict[str, Any]] = field(default_factory=list)
    detection: pd.DataFrame = field(default_factory=pd.DataFrame)
    detectors: pd.DataFrame = field(default_factory=pd.DataFrame)
    rates: Mapping[str, float] = field(default_factory=dict)


def judged(holds: bool, otherwise: str = FAIL) -> str:
    """Return `pass` if it holds, else what the check says otherwise."""
    return PASS if holds else otherwise


def curves(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Group the rows of a table of cells by curve: by what they share but for the budget."""
    names = [name for name in SUBJECT if name != "strength"]
    for keys, rows in table.groupby(
        [*names, "strength_name", "strength"], dropna=False, sort=False
    ):
        *others, name, value = keys
        yield dict(zip(names, others, strict=True)) | {"strength": spelled(name, value)}, rows


def concerns(
    table: pd.DataFrame, checks: pd.DataFrame, norms: Mapping[str, str | None] | None = None
) -> "pd.Series[bool]":
    """Find the rows of a table of cells that a failed check casts doubt on.

    Args:
        table: rows with the columns of `cells.csv` that say which cell they are (or some of them).
            Without `attack` they are worst cases over the attacks of a `norm`, and an aware one is
            over blind attacks, too.
        checks: `checks.csv`.
        norms: of the attacks, by name; only needed for worst cases.

    Returns:
        A boolean for each row of the table, by its index.
    """
    doubt = pd.Series(False, table.index)
    are_worst_cases = "attack" not in table
    names = [name for name in SUBJECT if name in table and name != "strength"]
    strengths = pd.Series(
        [spelled(*pair) for pair in zip(table["strength_name"], table["strength"], strict=True)],
        table.index,
        dtype=object,
    )
    for _, row in checks[checks["verdict"] == FAIL].iterrows():
        mine = pd.Series(True, table.index)
        for name in names:
            reaches_aware = are_worst_cases and name == "threat" and row[name] == BLIND
            if not pd.isna(row[name]) and not reaches_aware:
                mine &= table[name] == row[name]
        if are_worst_cases and norms and not pd.isna(row["attack"]):
            mine &= table["norm"] == norms[row["attack"]]
        if not pd.isna(row["strength"]):
            mine &= strengths == row["strength"]
        doubt |= mine
    return doubt


def spelled(name: Any, value: Any) -> str:
    """Spell a strength as paths do."""
    return str(Level(None, None) if pd.isna(value) else Level(str(name), float(value)))


def name_verdict(row: "pd.Series[Any]") -> str:
    """Name a check and what it looked at."""
    # A column of whole numbers with gaps is read as floating-point numbers.
    subject = " ".join(
        str(int(row[name]) if name == "seed" else row[name])
        for name in SUBJECT
        if not pd.isna(row[name])
    )
    return f"{row['check']} ({subject})"
