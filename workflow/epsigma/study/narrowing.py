"""A part of a study: what is left of it if only some of its blocks are asked for."""

from collections.abc import Iterator
from itertools import compress
from typing import TypeVar

from epsigma.study.blocks import Attack, Filter
from epsigma.study.faults import list_names
from epsigma.study.schema import Study

_Block = TypeVar("_Block", Attack, Filter)
# The sections whose blocks `only` may name, and whether a study needs one of them.
SECTIONS = {"datasets": True, "models": True, "attacks": True, "filters": False}


def narrow(study: Study) -> list[str]:
    """Leave of a study the blocks that its key `only` names, in place.

    Attacks and filters forget the names of blocks that have gone, and one that was for no other
    goes, too. What is left has the cells that it has in the whole study.

    Returns:
        The faults: names that there are not, and sections of which nothing is left.
    """
    if study.only is None:
        return []
    faults = list(_check_names(study))
    if faults:
        return faults
    for section in SECTIONS:
        names = study.only[section]
        if names is not None:
            _keep(study, section, [block.name in names for block in study[section]])
    for section in ("filters", "attacks"):
        blocks = [_forget(study, block) for block in study[section]]
        setattr(study, section, blocks)
        _keep(study, section, [[] not in (one.models, one.get("datasets")) for one in blocks])
    return [
        f"only: nothing is left of the {section}; name more"
        for section, is_needed in SECTIONS.items()
        if is_needed and not study[section]
    ]


def _check_names(study: Study) -> Iterator[str]:
    assert study.only is not None
    for section in SECTIONS:
        known = study.names(section)
        unknown = [name for name in study.only[section] or () if name not in known]
        if unknown:
            missing, allowed = list_names(map(repr, unknown)), list_names(known)
            yield f"only.{section}: there is no {missing}; allowed: {allowed}"


def _keep(study: Study, section: str, kept: list[bool]) -> None:
    """Keep some blocks of a section, and what was given of them."""
    setattr(study, section, list(compress(study[section], kept)))
    given = study._given.get(section, [])
    study._given = {**study._given, section: list(compress(given, kept))}


def _forget(study: Study, block: _Block) -> _Block:
    """Leave out the names of blocks that have gone; of none named, all are meant."""
    changed = {}
    for section in ("datasets", "models", "filters"):
        names, known = block.get(section), study.names(section)
        if section in type(block).model_fields and names is not None:
            changed[section] = [name for name in names if name.partition("/")[0] in known]
    return block.with_hyperparameters(block.entry, block.own, **changed)
