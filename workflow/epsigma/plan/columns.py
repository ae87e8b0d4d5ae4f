"""Columns: jobs that make several cells, as the study's `columns` asks.

The rules of a stage are written for a cell a job. A column job is made by a twin of such a rule
(`workflow/rules/columns.smk`) whose output has no wildcard for what the column runs over: the
budget of an attack, the strength of a filter, or both. Its cells are all levels of what the
wildcards leave open.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product

from epsigma.cell import Cell
from epsigma.plan.settings import block_levels
from epsigma.study.schema import Study
from epsigma.vocabulary import FOOLING, NO_FILTER

Wildcards = dict[str, str]
_ORDER = [field.name for field in fields(Cell)]
# What names the block that a level is one of.
_SECTIONS = {"budget": ("attack", "attacks"), "strength": ("filter", "filters")}
# The stages that columns are made of, and what their files are spelled by: those of no attack, of
# every one, and of one on images or of one that makes fooling images.
STAGES: dict[str, tuple[str, ...]] = {
    "evaluate_clean": ("strength",),
    "probe_filter": ("strength",),
}
STAGES_OF_SETS: dict[str, tuple[str, ...]] = {"filter": ("budget", "strength")}
STAGES_ON_IMAGES: dict[str, tuple[str, ...]] = {
    "attack": ("budget",),
    "attack_aware": ("budget", "strength"),
    "evaluate": ("budget", "strength"),
    "probe_attack": ("strength",),
}
STAGES_OF_FOOLING: dict[str, tuple[str, ...]] = {
    "fool": ("budget",),
    "fool_aware": ("budget", "strength"),
    "evaluate_fooling": ("budget", "strength"),
    "probe_fooling": ("strength",),
}


@dataclass(frozen=True)
class Twin:
    """A rule that makes columns in place of another, which makes cells.

    Args:
        stage: the rule that it is a twin of.
        rule: its own name.
        constraints: regular expressions of the wildcards that tell it from other twins.
        members: values of the wildcards that it runs over, in the order of its files.
    """

    stage: str
    rule: str
    constraints: Wildcards
    members: tuple[Wildcards, ...]


def cells_of_job(
    study: Study, wildcards: Mapping[str, str], sweeps: Sequence[str] = ("budget", "strength")
) -> list[Wildcards]:
    """List the wildcards of a job's cells: its own, or, of a column, those at all levels.

    Args:
        study: the study.
        wildcards: of the job.
        sweeps: what the files of its stage are spelled by, if their attack or filter is.
    """
    open_ = {
        name: block_levels(study, section, wildcards[key])
        for name, (key, section) in _SECTIONS.items()
        if name in sweeps and key in wildcards and name not in wildcards
    }
    cells = [
        {**wildcards, **dict(zip(open_, levels, strict=True))}
        for levels in product(*open_.values())
    ]
    # The same order whether one or many: files carry it.
    return [{name: cell[name] for name in _ORDER if name in cell} for cell in cells]


def list_twins(study: Study) -> list[Twin]:
    """List the rules that make columns; none if the study asks for none."""
    if study.columns == "none":
        return []
    every = {one.name: one.entry.family == FOOLING for one in study.attacks}
    on_images = [name for name, is_fooling in every.items() if not is_fooling]
    fooling = [name for name, is_fooling in every.items() if is_fooling]
    return [
        *_twins_of(study, STAGES, None),
        *_twins_of(study, STAGES_OF_SETS, list(every)),
        *_twins_of(study, STAGES_ON_IMAGES, on_images),
        *_twins_of(study, STAGES_OF_FOOLING, fooling),
    ]


def _twins_of(
    study: Study, stages: Mapping[str, tuple[str, ...]], attacks: Sequence[str] | None
) -> Iterator[Twin]:
    filters = [*study.names("filters"), NO_FILTER]
    for stage, sweeps in stages.items():
        is_by_attack = "budget" in sweeps and study.columns == "attack"
        by_attack: Sequence[str | None] = attacks if is_by_attack and attacks else [None]
        by_filter: Sequence[str | None] = filters if "strength" in sweeps else [None]
        if by_attack == by_filter == [None]:
            continue
        for attack, filter_name in product(by_attack, by_filter):
            chosen = {"attack": attack, "filter": filter_name}
            names = {key: name for key, name in chosen.items() if name is not None}
            constraints = dict(names)
            if attacks is not None:
                meeting = [one for one in attacks if _meets_whole(study, one, filter_name)]
                if not meeting or attack not in (None, *meeting):
                    continue
                constraints = {"attack": "|".join(meeting), **names}
            open_ = [sweep for sweep in sweeps if _SECTIONS[sweep][0] in names]
            # Of a job that runs over strengths only, the budget is a wildcard.
            members = cells_of_job(study, names, open_)
            yield Twin(
                stage,
                "_".join([stage, *names.values()]),
                constraints,
                tuple({sweep: cell[sweep] for sweep in open_} for cell in members),
            )


def _meets_whole(study: Study, attack: str, filter_name: str | None) -> bool:
    """Whether an attack meets a filter at all its strengths; one that does not has no columns."""
    if filter_name is None:
        return True
    block = study.find("filters", filter_name)
    met = study.find("attacks", attack).strengths_of(block)
    # One that does not meet it at all is asked for nothing.
    return not met or met == block.levels
