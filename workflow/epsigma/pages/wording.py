"""Tables in a reader's words: headings, names, levels, percentages with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from epsigma.figures.levels import NORMS, level_label, spelled_label
from epsigma.tables.cells import PARTS
from epsigma.vocabulary import FIXED, NO_FILTER

NOTHING = "–"
# What two columns are, the name of a level and its value.
LEVELS = {"budget": "budget", "strength": "filter strength"}
HEADINGS = {
    "dataset": "data set",
    "threat": "attacker",
    "n": "images",
    "n_independent": "count as independent",
    "attack_success": "attack success",
    "none": "no filter",
    "clean": "clean images",
    "clean_none": "clean images, no filter",
    "clean_cost": "cost on clean images (points)",
    "best_for": "strength is best for",
    "attacks": "attacks (number)",
    "gradient_free_only": "gradient-free attacks only",
    "n_censored": "never fooled (images)",
    "largest": "largest budget",
    "median": "median budget",
    "n_correct": "right (images)",
    "n_correct_clean": "right when clean (images)",
    "n_fooled": "fooled (images)",
    "n_fooled_unrounded": "fooled before rounding (images)",
    "lost": "lost by rounding",
    "linf": "mean ℓ∞",
    "l2": "mean ℓ2",
    "l0": "mean ℓ0 (pixels)",
    "l2_all": "mean ℓ2, all images",
    "l2_best": "mean ℓ2, easiest target",
    "l2_worst": "mean ℓ2, hardest target",
    "changed": "features changed",
    "changed_all": "features changed, all images",
    "changed_best": "features changed, easiest target",
    "changed_worst": "features changed, hardest target",
    "n_reached": "targets reached",
    "n_worst": "all targets reached (images)",
    "confidence": "mean confidence",
    "through": "through to a wrong class",
    "detector_alone": "accuracy, detectors alone",
    "filter_alone": "accuracy, filter alone",
    "both": "accuracy, both",
    "area": "area under the ROC curve",
    "false_positive": "clean images rejected",
    "true_positive": "attacked images rejected",
    "certified": "proved safe",
    "certified_draw": "certified, one draw",
    "radius": "radius in ℓ2",
    "p_value": "p",
    "std": "standard deviation over seeds",
    "n_accepted": "accepted (images)",
    "n_named": "class named (images)",
    "target_name": "name of the class",
    "aware_8bit": "aware, 8-bit images",
    "training_seconds": "training (s of a core)",
    "extra_training_seconds": "more training than undefended (s)",
    "multiply_adds": "multiply-adds",
    "microseconds_1": "µs an image, alone",
    "microseconds_1000": "µs an image, of 1,000",
    "filter_microseconds": "µs an image, more than without",
    "figure": "measured",
    "sentence": "what that means",
    "why": "why not",
}
# Of a table that counts an image once for each class that is aimed at.
OF_TARGETS = {"n": "images, once a target"}
# Shares that have no interval, and what has an interval and is no share.
SHARES = ("changed", "changed_all", "changed_best", "changed_worst", "confidence", "certified_draw")
NUMBERS = ("ours", "area", "mean")
# Differences of shares.
POINTS = ("clean_cost",)
# Of long tables the columns that readers want.
CHOSEN: Mapping[str, Sequence[str]] = {
    "headline": (
        *("dataset", "model", "attack", "budget", "filter", "best_for", "strength", "n"),
        *("none", "blind", "aware", "clean_cost"),
    ),
    "atlas": (
        *("model", "norm", "budget", "filter", "strength", "n", "clean", "clean_cost", "blind"),
        *("aware", "attacks", "certified", "filter_microseconds", "extra_training_seconds"),
    ),
}
# Columns that say the same in every row of most studies.
COMMON = ("dataset", "model", "seed")


@dataclass(frozen=True)
class Worded:
    """A table for readers: headings, rows of texts, and what is the same in all rows."""

    columns: list[str]
    rows: list[list[str]]
    common: str = ""


def word_table(
    table: pd.DataFrame, names: Mapping[str, Any], chosen: Sequence[str] | None = None
) -> Worded:
    """Put a table into a reader's words.

    Args:
        table: as its CSV file has it.
        names: of `epsigma.plan.names`: what readers call data sets, models, attacks and filters.
        chosen: the columns that are shown, in order; all, if left out. Those of bounds and of the
            names of levels belong to the rates and levels that they are of.

    Returns:
        Rates in percent with their interval, levels as `ε = 0.1`, other numbers to three figures.
        Columns without a value are left out, and those of `COMMON` with a single one are `common`.
    """
    wanted = [name for name in chosen or map(str, table) if name in table]
    wanted = [name for name in wanted if not (_is_part(table, name) or table[name].isna().all())]
    common = [
        name for name in wanted if name in COMMON and len(table) > 1 and table[name].nunique() == 1
    ]
    texts = {name: [_word(row, name, names) for row in table.to_dict("records")] for name in wanted}
    shown = [name for name in wanted if name not in common]
    rows = [list(row) for row in zip(*(texts[name] for name in shown), strict=True)]
    said = [f"seed {texts[name][0]}" if name == "seed" else texts[name][0] for name in common]
    headings = OF_TARGETS if "n_independent" in table else {}
    columns = [headings.get(name) or name_column(name) for name in shown]
    return Worded(columns, rows, ", ".join(said))


def name_column(name: str) -> str:
    """Say the heading of a column."""
    if name.startswith(PARTS):
        return "first fooled by " + name.removeprefix(PARTS)
    return HEADINGS.get(name) or LEVELS.get(name) or name.replace("_", " ")


def write_number(value: Any) -> str:
    """Write a value for a reader: to three figures, but whole numbers in full; a dash for none."""
    if value is None or pd.isna(value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    return f"{int(value):,}" if isinstance(value, int | float) else str(value)


def write_percent(value: Any) -> str:
    """Write a share in percent, to a tenth; a dash for none."""
    return NOTHING if value is None or pd.isna(value) else f"{100 * value:z.1f} %"


def _is_part(table: pd.DataFrame, name: str) -> bool:
    """Whether a column is said by another one: a bound, or the name of a level."""
    rate, _, kind = name.rpartition("_")
    return rate in table and (kind in ("low", "high") or (kind == "name" and rate in LEVELS))


def _word(row: Mapping[Any, Any], name: str, names: Mapping[str, Any]) -> str:
    """Say a field of a row."""
    value = row[name]
    if name in LEVELS and isinstance(value, str):
        return NOTHING if value == FIXED else spelled_label(value)
    if name in LEVELS and f"{name}_name" in row:
        return _word_level(row[f"{name}_name"], value)
    if value is None or pd.isna(value):
        return NOTHING
    if name == "norm":
        return NORMS.get(str(value), str(value))
    if name in ("dataset", "model", "attack", "filter"):
        return _word_name(row, name, names)
    if name in POINTS:
        return f"{100 * value:z.1f}"
    if f"{name}_low" in row and name not in NUMBERS:
        return _with_interval(row, name, 100.0, " %", ".1f")
    if f"{name}_low" in row:
        return _with_interval(row, name, 1.0, "", ".3f")
    return write_percent(value) if name in SHARES else write_number(value)


def _word_level(name: Any, value: Any) -> str:
    """Say a level; one of nothing is a dash."""
    if value is None or pd.isna(value):
        return FIXED if name == FIXED else NOTHING
    return level_label(str(name), float(value))


def _word_name(row: Mapping[Any, Any], section: str, names: Mapping[str, Any]) -> str:
    """Say what readers call a data set, a model on it, an attack or a filter."""
    known = names.get(f"{section}s", {})
    if section == "model":
        known = known.get(row.get("dataset"), {})
    default = "no filter" if row[section] == NO_FILTER else row[section]
    return str(known.get(row[section], default))


def _with_interval(row: Mapping[Any, Any], name: str, scale: float, unit: str, digits: str) -> str:
    """Say a value and its interval, where it has one."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    said = f"{scale * value:z{digits}}{unit}"
    if pd.isna(low) or pd.isna(high):
        return said
    return f"{said} ({scale * low:z{digits}} … {scale * high:z{digits}})"
