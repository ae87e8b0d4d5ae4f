"""What tables say, as the page reads it: plain values, None where there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from epsigma.cell import CELL_COLUMNS, Cell
from epsigma.checks.verdict import SUBJECT, spell_strength

# Which cell a row is of, levels as paths spell them.
IDENTITY = tuple(field.name for field in fields(Cell))
# Figures of `clean.csv`.
CLEAN = ("accuracy", "accuracy_low", "accuracy_high", "n", "n_correct")
# Figures of `rivals.csv`.
RIVALS = (
    *("against", "other_filter", "other_strength", "n"),
    *("difference", "difference_low", "difference_high"),
)
# More classes than these are not told apart.
CLASSES = 100


def plain(value: Any) -> Any:
    """Return a value of a table as JSON has it, numbers to six significant digits."""
    if isinstance(value, float | np.floating):
        return None if not np.isfinite(value) else float(f"{value:.6g}")
    if isinstance(value, np.integer):
        return int(value)
    return None if pd.isna(value) else value


def spell_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Put the levels of a table of cells in one column each, as paths spell them."""
    spelled = table.copy()
    for level in ("budget", "strength"):
        if level in table:
            pairs = zip(table[f"{level}_name"], table[level], strict=True)
            spelled[level] = [spell_strength(*pair) for pair in pairs]
            spelled = spelled.drop(columns=f"{level}_name")
    return spelled


def list_cells(cells: pd.DataFrame) -> dict[str, list[Any]]:
    """List cells with their figures: `columns`, and `rows` of values.

    Columns without any value are left out.
    """
    table = spell_levels(cells)
    figures = [
        str(name) for name in cells if name not in CELL_COLUMNS and cells[name].notna().any()
    ]
    columns = [*IDENTITY, *figures]
    values = zip(*(table[name].tolist() for name in columns), strict=True)
    return {"columns": columns, "rows": [[plain(value) for value in row] for row in values]}


def list_clean(clean: pd.DataFrame) -> list[dict[str, Any]]:
    """List the accuracy on clean images, through each filter of each model."""
    table = spell_levels(clean)
    names = [name for name in (*IDENTITY, *CLEAN) if name in table]
    rows = zip(*(table[name].tolist() for name in names), strict=True)
    return [dict(zip(names, map(plain, row), strict=True)) for row in rows]


def list_checks(checks: pd.DataFrame) -> list[dict[str, Any]]:
    """List verdicts: what each is about, and no key for what it is not about."""
    names = ["check", *SUBJECT, "verdict", "sentence"]
    rows = checks[names].to_dict("records")
    listed = [{str(name): plain(value) for name, value in row.items()} for row in rows]
    return [{name: value for name, value in row.items() if value is not None} for row in listed]


def count_by_class(
    classes: pd.DataFrame, cells: Sequence[tuple[Any, ...]]
) -> list[list[list[int]]] | None:
    """Count, class by class, how many examples of each cell there are, and how many are right.

    Args:
        classes: `classes.csv`.
        cells: the identities of cells, in the order of the result.

    Returns:
        Of each cell rows of label, `n` and `n_correct`; None if there are too many classes.
    """
    if classes.empty or classes["label"].nunique() > CLASSES:
        return None
    table = spell_levels(classes)
    counted: dict[tuple[Any, ...], list[list[int]]] = {}
    names = [*IDENTITY, "label", "n", "n_correct"]
    for row in zip(*(table[name].tolist() for name in names), strict=True):
        counted.setdefault(row[: len(IDENTITY)], []).append([int(value) for value in row[-3:]])
    return [counted.get(cell, []) for cell in cells]


def list_rivals(
    rivals: pd.DataFrame, cells: Sequence[tuple[Any, ...]]
) -> list[list[dict[str, Any]]]:
    """List of each cell how it compares with its rivals on the same images.

    Args:
        rivals: `rivals.csv`.
        cells: the identities of cells, in the order of the result.

    Returns:
        Of each cell, in the order of the table, rows of `RIVALS`.
    """
    table = spell_levels(rivals)
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in zip(*(table[name].tolist() for name in (*IDENTITY, *RIVALS)), strict=True):
        told = dict(zip(RIVALS, map(plain, row[len(IDENTITY) :]), strict=True))
        found.setdefault(row[: len(IDENTITY)], []).append(told)
    return [found.get(cell, []) for cell in cells]


def key_of(wildcards: Mapping[str, str]) -> tuple[Any, ...]:
    """Return the identity of a cell from the wildcards of its paths."""
    return tuple(int(wildcards[name]) if name == "seed" else wildcards[name] for name in IDENTITY)
