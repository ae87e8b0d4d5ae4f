"""The rules of a challenge: the study it is of, its balls, and what a submission may take."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from epsigma.cell import Cell
from epsigma.kinds import Count, Strict
from epsigma.plan import paths
from epsigma.plan.grid import cells
from epsigma.study import Study, expand, validate
from epsigma.study.faults import explain, refuse
from epsigma.study.references import find_attack_kind
from epsigma.vocabulary import FOOLING, NO_FILTER

RULES = "rules.yaml"
# By which of its measures a set is in a ball of a norm; sets are in the first that fits.
MEASURES = {"linf": "linf", "l2": "l2", "l0": "changed"}
# How the names of attacks begin that a challenge adds to those of its study.
ADDED = "challenge_"


class SubmissionError(ValueError):
    """A submission that cannot be scored; the message says why, and what to do."""


class Limits(Strict):
    """What a submitted filter may take."""

    seconds: Count = Field(3600, description="of the clock, for all of its scoring")
    memory_mb: Annotated[int, Field(ge=1000)] = Field(
        4000, description="MB (of 10⁶ bytes) that its process may write to, torch included"
    )


class Ball(Strict):
    """A ball that perturbations are in."""

    norm: str = Field(description="`linf`, `l2` or `l0`")
    name: str = Field(description="of the budget")
    budget: float = Field(description="its radius; of `l0` the share of the values that change")
    images: dict[str, int] = Field(
        description="how many images of each data set are attacked: the first ones of the test set"
    )


class Rules(Strict):
    """The rules, as `rules.yaml` has them."""

    limits: Limits = Field(default_factory=lambda: Limits(), description="of a submitted filter")
    balls: Annotated[list[Ball], Field(min_length=1)] = Field(
        description="in which the study attacks, and a set may lie"
    )
    study: dict[str, Any] = Field(description="the configuration of the study")


def read_rules(folder: Path) -> Rules:
    """Read the rules of a challenge's folder.

    Raises:
        FileNotFoundError: if it is no such folder.
        epsigma.study.ConfigurationError: names each key that is wrong.
    """
    path = folder / RULES
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: `make challenge` makes {folder}")
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return Rules.model_validate(given)
    except ValidationError as error:
        raise refuse(explain(error, Rules, given)) from None


def study_of(rules: Rules) -> Study:
    """Read the study of a challenge.

    Raises:
        epsigma.study.ConfigurationError: names each key that is wrong.
    """
    return expand(validate(rules.study, has_run=True))


def with_filters(rules: Rules, *blocks: dict[str, Any]) -> Study:
    """Read the study of a challenge with other filters, which all of its attacks meet."""
    attacks = [{**attack, "filters": None} for attack in rules.study["attacks"]]
    changed = {**rules.study, "attacks": attacks, "filters": list(blocks)}
    return expand(validate(changed, has_run=True))


def scored_cells(study: Study) -> Iterator[Cell]:
    """List the cells of a challenge: of the first seed, in a ball, at budgets that are not 0.

    What a challenge adds attacks filters only.
    """
    for cell in cells(study):
        entry = find_attack_kind(study, study.find("attacks", cell.attack))
        is_in_ball = entry.norm is not None and entry.family != FOOLING and cell.budget.value
        is_needless = cell.attack.startswith(ADDED) and cell.filter == NO_FILTER
        if is_in_ball and not is_needless and cell.seed == study.seeds[0]:
            yield cell


def inside(folder: Path, path: str) -> Path:
    """Say where what a study has at `results/…` lies in another folder."""
    return folder / path.removeprefix(paths.RESULTS)
