"""What is shown of scores: a page that sets submissions among the atlas, and a few lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from epsigma.challenge.rules import Rules, study_of
from epsigma.challenge.scoring import Scored
from epsigma.challenge.tables import SCORES
from epsigma.figures.levels import NORMS, level_label
from epsigma.pages import tables_page
from epsigma.pages.wording import CHOSEN, NOTHING
from epsigma.plan.names import names_of
from epsigma.storage.files import write_text
from epsigma.tables.intervals import with_bounds
from epsigma.tables.reading import read_table
from epsigma.vocabulary import AWARE, BLIND, NO_FILTER

# What rows are of that compete, and what tells filters apart there.
WHERE = ["dataset", "model", "norm", "budget_name", "budget"]
# What a submitted set leaves, beside what the study's attacks leave.
LEFT = "left_by_the_set"
Row: TypeAlias = "pd.Series[Any] | dict[Any, Any]"
SHOWN = [*CHOSEN["atlas"][:9], LEFT, *CHOSEN["atlas"][9:]]


def read_atlas(folder: Path) -> pd.DataFrame:
    """Read the atlas of a challenge's study."""
    return read_table(str(folder / "tables" / "atlas.csv"))


def read_scores(folder: Path) -> pd.DataFrame:
    """Read the scores of a challenge; no rows if nothing is scored yet."""
    path = folder / "scores.csv"
    return read_table(str(path)) if path.is_file() else pd.DataFrame(columns=SCORES)


def place_filters(atlas: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Put rows of submitted filters among those of the study, sorted by what is left aware."""
    both = pd.concat([atlas, rows[list(atlas)]], ignore_index=True)
    first = {name: at for at, name in enumerate(dict.fromkeys(atlas["model"]))}
    return both.sort_values(
        [*WHERE, AWARE, "clean"],
        ascending=[*[True] * len(WHERE), False, False],
        key=lambda column: column.map(first) if column.name == "model" else column,
        kind="stable",
        ignore_index=True,
    )


def compare_set(atlas: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Set what an adversarial set leaves of each filter beside what the study's attacks leave.

    The least that the set leaves comes first, within a model.
    """
    left = dict(zip(with_bounds(BLIND), with_bounds(LEFT), strict=True))
    kept = rows[[*WHERE, "filter", *left]].rename(columns=left)
    there = atlas.drop(columns=["certified", "clean_cost"])
    return kept.merge(there, on=[*WHERE, "filter"]).sort_values([*WHERE, LEFT], kind="stable")


def write_page(folder: Path, rules: Rules) -> None:
    """Write `scores.html`: the atlas with the submitted filters, and a table a submitted set."""
    atlas, scores = read_atlas(folder), read_scores(folder)
    is_filter = scores["filter"] == scores["submission"]
    names = names_of(study_of(rules))
    names["filters"] |= {name: f"► {name}" for name in scores.loc[is_filter, "submission"]}
    tables = {
        f"Filters on {names['datasets'].get(name, name)}": rows
        for name, rows in place_filters(atlas, scores[is_filter]).groupby("dataset", sort=False)
    }
    for name, rows in scores[~is_filter].groupby("submission", sort=False):
        tables[f"The adversarial set {name}"] = compare_set(atlas, rows)
    write_text(folder / "scores.html", tables_page(tables, "Challenge", names, SHOWN))


def describe(scored: Scored, folder: Path) -> Iterator[str]:
    """Say in lines what came of a submission."""
    atlas = read_atlas(folder)
    if scored.is_filter:
        placed = place_filters(atlas, scored.rows)
        for _, rows in placed.groupby(WHERE, sort=False):
            yield from _describe_filter(scored.name, rows.reset_index(drop=True))
        return
    for _, rows in compare_set(atlas, scored.rows).groupby(WHERE, sort=False):
        yield f"{scored.name}, {_name(rows.iloc[0])}, {rows['n'].iloc[0]} images:"
        for row in rows.to_dict("records"):
            name = " ".join([row["filter"], _strength(row)]).strip()
            yield (
                f"  {name:<32} {_rate(row, LEFT)} left; by the study's attacks "
                f"{_rate(row, BLIND)} blind, {_rate(row, AWARE)} aware"
            )


def _describe_filter(name: str, rows: pd.DataFrame) -> Iterator[str]:
    """Say what a filter keeps, among rows that are sorted by that."""
    bare = [_rate(row, AWARE) for row in rows[rows["filter"] == NO_FILTER].to_dict("records")]
    beside = f". No filter keeps {bare[0]}" if bare else ""
    for at, row in rows[rows["filter"] == name].iterrows():
        yield (
            f"{name} {_strength(row)}, {_name(row)}: keeps {_rate(row, AWARE)} aware and "
            f"{_rate(row, BLIND)} blind, of {row['n']} images, against {row['attacks']:.0f} "
            f"attacks; {100 * row['clean_cost']:.1f} points of clean accuracy; "
            f"place {int(str(at)) + 1} of {len(rows)}{beside}"
        )


def _name(row: Row) -> str:
    level = level_label(str(row["budget_name"]), float(row["budget"]))
    norm = NORMS.get(str(row["norm"]), row["norm"])
    return f"{row['model']} on {row['dataset']}, {norm}, {level}"


def _strength(row: Row) -> str:
    value = row["strength"]
    return "" if pd.isna(value) else level_label(str(row["strength_name"]), float(value))


def _rate(row: Row, name: str) -> str:
    rate, low, high = (row[key] for key in with_bounds(name))
    if pd.isna(rate):
        return NOTHING
    return f"{100 * rate:.1f} % ({100 * low:.1f} … {100 * high:.1f})"
