"""Columns: how a stage's cells are cut into jobs, one or many to a job.

Imports neither torch nor numpy: the DAG shares it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from epsigma.cell import Cell
from epsigma.configuration import block_levels
from epsigma.vocabulary import NO_FILTER

Wildcards = dict[str, str]
# A cell is told alike, in its files too, whatever the cut.
_NAMES = [field.name for field in fields(Cell)]


@dataclass(frozen=True)
class Column:
    """The cells that a job of a rule makes, one after the other.

    Args:
        rule: the rule's name.
        constraints: the attack and the filter that the rule is for, by wildcard; empty if it is
            for all.
        members: values of the wildcards that a job runs over; one empty member if each job makes
            one cell.
    """

    rule: str
    constraints: Wildcards
    members: tuple[Wildcards, ...]

    def over(self, pattern: str) -> list[str]:
        """List what a job writes: a pattern of paths, filled for each member."""
        paths = []
        for member in self.members:
            path = pattern
            for name, value in member.items():
                path = path.replace(f"{{{name}}}", value)
            paths.append(path)
        return paths

    def each(self, path_of: Callable[[Wildcards], str]) -> Callable[[Mapping[str, str]], list[str]]:
        """Make what lists what a job reads, each file once, of what says it for a cell."""
        return lambda wildcards: list(dict.fromkeys(map(path_of, self.cells(wildcards))))

    def cells(self, wildcards: Mapping[str, str]) -> list[Wildcards]:
        """List the wildcards of a job's cells, in the members' order."""
        cells = ({**wildcards, **member} for member in self.members)
        return [{name: cell[name] for name in _NAMES if name in cell} for cell in cells]


def cut(
    study: Mapping[str, Any], stage: str, *, budgets: bool = False, strengths: bool = False
) -> list[Column]:
    """Cut a stage's cells into jobs as the configuration's `columns` says.

    Args:
        study: a validated configuration.
        stage: its name.
        budgets: whether its files have a budget.
        strengths: whether its files have a filter and a strength.

    Returns:
        A column a rule. What is watched of a file must not depend on the cut: then another one
        makes no attack anew.
    """
    attacks = [block["name"] for block in study["attacks"]]
    filters = [block["name"] for block in study["filters"]] + [NO_FILTER]
    by_attack = attacks if budgets and study["columns"] == "attack" else [None]
    by_filter = filters if strengths and study["columns"] != "none" else [None]
    return [_column(study, stage, *names) for names in product(by_attack, by_filter)]


def _column(
    study: Mapping[str, Any], stage: str, attack: str | None, filter_: str | None
) -> Column:
    constraints, swept = {}, {}
    if attack is not None:
        constraints["attack"] = attack
        swept["budget"] = block_levels(study, "attacks", attack)
    if filter_ is not None:
        constraints["filter"] = filter_
        swept["strength"] = block_levels(study, "filters", filter_)
    members = (dict(zip(swept, values, strict=True)) for values in product(*swept.values()))
    return Column("_".join([stage, *constraints.values()]), constraints, tuple(members))
