"""Scoring a submission: a Python file with a filter, or a file with an adversarial set."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from epsigma.cell import FIXED_LEVEL, NAME, Cell, Level
from epsigma.challenge.apart import run_apart
from epsigma.challenge.cells import IDENTITY, Scoring, list_made
from epsigma.challenge.child import SCORED
from epsigma.challenge.left import take_left
from epsigma.challenge.rules import (
    RULES,
    Ball,
    Rules,
    SubmissionError,
    inside,
    read_rules,
    scored_cells,
    study_of,
    with_filters,
)
from epsigma.challenge.sets import read_submission
from epsigma.challenge.tables import add_scores, score_submission
from epsigma.plan import paths
from epsigma.plan.recipes import Recipes
from epsigma.storage.images import write_image_set
from epsigma.study import LONGEST, Study
from epsigma.study.references import find_attack_kind
from epsigma.tables.reading import read_table
from epsigma.vocabulary import BLIND, NO_FILTER, TRANSFER

FILTER, SET = ".py", ".safetensors"
# Bytes of a Python file that anybody would read.
MOST = 1_000_000


@dataclass(frozen=True)
class Scored:
    """What came of a submission.

    Args:
        name: of it.
        rows: the columns of the atlas.
        is_filter: or an adversarial set.
        confined: whether the filter's process was kept from writing elsewhere.
    """

    name: str
    rows: pd.DataFrame
    is_filter: bool
    confined: bool = True


def score(submission: Path, folder: Path) -> Scored:
    """Score a submission, and write its rows to `scores.csv` and its cells to `cells/`.

    Args:
        submission: a file `NAME.py` or `NAME.safetensors`.
        folder: of a challenge.

    Raises:
        SubmissionError: if it cannot be scored; says why. Nothing is written.
        FileNotFoundError: if the folder is none of a challenge.
    """
    rules = read_rules(folder)
    name = _name(submission, rules)
    with tempfile.TemporaryDirectory(prefix="challenge-") as temporary:
        here = Path(temporary)
        run = _score_filter if submission.suffix == FILTER else _score_set
        scored = run(submission, name, rules, folder, here)
        add_scores(folder, name, scored.rows)
        (folder / "cells").mkdir(exist_ok=True)
        shutil.copyfile(here / "cells.csv", folder / "cells" / f"{name}.csv")
    return scored


def _name(submission: Path, rules: Rules) -> str:
    """Name a submission after its file."""
    if submission.suffix not in (FILTER, SET):
        raise SubmissionError(
            f"{submission.name} is neither {FILTER} (a filter) nor {SET} (an adversarial set)"
        )
    if not submission.is_file():
        raise SubmissionError(
            f"{submission} is not there, or is no file: name the file of the submission"
        )
    if submission.suffix == FILTER and submission.stat().st_size > MOST:
        raise SubmissionError(
            f"{submission.name} is larger than {MOST:,} bytes: leave out what the filter does not "
            "need"
        )
    study = study_of(rules)
    taken = {*study.names("filters"), *study.names("attacks"), NO_FILTER}
    name = submission.stem
    if not re.fullmatch(NAME, name) or len(name) > LONGEST or name in taken:
        raise SubmissionError(
            f"{name!r} is no name for it: give the file one of small letters, digits and _, a "
            f"letter first, and none of the study's: {', '.join(sorted(taken))}"
        )
    return name


def _score_filter(submission: Path, name: str, rules: Rules, folder: Path, here: Path) -> Scored:
    study = with_filters(rules)
    apart = here / "apart"
    apart.mkdir()
    confined = run_apart(submission, name, folder, apart, rules.limits)
    facts = Recipes(study, []).facts()
    attacks = facts["attacks"]
    facts["attacks"] = attacks | {f"{one}{IDENTITY}": about for one, about in attacks.items()}
    facts["filters"] = {name: {"detectors": []}}
    try:
        take_left(apart / SCORED, here / SCORED)
        rows = _tabulate(here, folder, study, facts)
    # Whatever tables say of files that another program wrote.
    except Exception as error:
        raise SubmissionError(
            f"what its process left are no scores ({type(error).__name__}: {error}): submit "
            "a filter that writes no files"
        ) from error
    return Scored(name, rows[rows["filter"] == name], is_filter=True, confined=confined)


def _score_set(submission: Path, name: str, rules: Rules, folder: Path, here: Path) -> Scored:
    dataset, ball, made = read_submission(submission, rules, folder)
    adversarial = here / "set.safetensors"
    write_image_set(adversarial, made, {})
    study = study_of(rules)
    facts = Recipes(study, []).facts()
    # Nobody knows on which model it was made: it is scored against all, as a transfer.
    facts["attacks"][name] = {"family": TRANSFER, "norm": ball.norm}
    facts["defends"] = {}
    like = [cell.attack for cell in scored_cells(study) if _is_in(study, cell, ball)]
    cells = list(_cells_of(name, dataset, ball, study, folder))
    if not like or not cells:
        raise ValueError(
            f"its study has nothing in {ball.norm} {ball.name} = {ball.budget:g}, a ball of "
            f"{RULES}: `make challenge` makes a folder anew"
        )
    scoring = Scoring(study, folder, here / SCORED)
    for cell in cells:
        scoring.score_set(cell, adversarial, like[0])
    return Scored(name, _tabulate(here, folder, study, facts), is_filter=False)


def _is_in(study: Study, cell: Cell, ball: Ball) -> bool:
    norm = find_attack_kind(study, study.find("attacks", cell.attack)).norm
    return (norm, cell.budget) == (ball.norm, Level(ball.name, ball.budget))


def _cells_of(name: str, dataset: str, ball: Ball, study: Study, folder: Path) -> Iterator[Cell]:
    """List the cells of a set: every filter of the atlas at its strength there, and none."""
    atlas = read_table(str(folder / "tables" / "atlas.csv"))
    of = {"dataset": dataset, "norm": ball.norm, "budget_name": ball.name, "budget": ball.budget}
    for row in atlas.to_dict("records"):
        if all(row[key] == value for key, value in of.items()):
            strength = FIXED_LEVEL
            if not pd.isna(row["strength"]):
                strength = Level(row["strength_name"], row["strength"])
            budget, seed = Level(ball.name, ball.budget), study.seeds[0]
            yield Cell(dataset, row["model"], seed, BLIND, name, budget, row["filter"], strength)


def _tabulate(here: Path, folder: Path, study: Study, facts: Mapping[str, Any]) -> pd.DataFrame:
    found = dict(list_made(here / SCORED))
    bare = [{**cell.wildcards, **paths.UNFILTERED} for cell in scored_cells(study)]
    known = dict.fromkeys(inside(folder, paths.CLEAN_LEDGER.format(**of)) for of in bare)
    found["clean"] += known
    return score_submission(folder, facts, cells=here / "cells.csv", **found)
