"""Reading a configuration: from plain values to a checked study."""

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from epsigma.cell import NAME
from epsigma.kinds import AttackKind, Configured, Kind
from epsigma.registry import REGISTRIES, find
from epsigma.registry.filters import FILTERS
from epsigma.registry.trainings import TRAININGS
from epsigma.study.blocks import Block
from epsigma.study.faults import LONGEST, explain, find_not_finite, list_names, refuse
from epsigma.study.narrowing import narrow
from epsigma.study.references import check_references
from epsigma.study.schema import Study
from epsigma.vocabulary import NO_FILTER, THREATS

RESERVED = {"filters": NO_FILTER}


def validate(config: Mapping[str, Any] | Study, *, has_run: bool = False) -> Study:
    """Check a configuration and fill in its defaults.

    Args:
        config: as read from YAML, or a study; not modified.
        has_run: whether its results are there: nobody needs the files of weights then that they
            were made from.

    Returns:
        The study: every key has a value, every block its `name`.

    Raises:
        ConfigurationError: names each faulty key, what is wrong and what is allowed.
    """
    given = config.dump() if isinstance(config, Study) else copy.deepcopy(dict(config))
    faults = list(find_not_finite(given))
    if any("contains itself" in fault or "nested" in fault for fault in faults):
        raise refuse(faults)
    try:
        study = Study.model_validate(given)
    except ValidationError as error:
        named = {fault.partition(": ")[0] for fault in faults}
        more = explain(error, Study, given)
        raise refuse(
            [*faults, *(fault for fault in more if fault.partition(": ")[0] not in named)]
        ) from None
    if faults:
        raise refuse(faults)
    study._given = given
    for section in REGISTRIES:
        checked = list(_check_blocks(section, study[section], faults))
        setattr(study, section, checked)
    faults = faults or narrow(study) or check_references(study, with_files=not has_run)
    if faults:
        raise refuse(faults)
    return study


def _check_blocks(section: str, blocks: list[Any], faults: list[str]) -> Iterator[Any]:
    """Check each block of a section against its kind, and the section's names."""
    names: dict[str, int] = {}
    for index, block in enumerate(blocks):
        name = block.name or block.kind.rpartition(":")[2].lower()
        at = f"{section}[{index}] ({name})"
        entry = _find_entry(REGISTRIES[section], block.kind, at, faults, RESERVED.get(section))
        if entry is None:
            continue
        faults += _check_name(section, name, at, names)
        names.setdefault(name, index)
        changed: dict[str, Any] = {"name": name}
        if "threats" in type(block).model_fields:
            possible = entry.threats if isinstance(entry, AttackKind) else THREATS
            changed["threats"] = block.threats or list(possible)
            faults += [
                f"{at}.threats: {threat!r} is not allowed; allowed: {list_names(possible)}"
                for threat in changed["threats"]
                if threat not in possible
            ]
        before = len(faults)
        if section == "models":
            training = block.training
            how = _find_entry(TRAININGS, training.kind, f"{at}.training", faults)
            if how is not None:
                changed["training"] = _fill(training, how, f"{at}.training", faults)
        if section == "filters":
            changed["then"] = _check_parts(block.then, f"{at}.then", faults)
        made = _fill(block, entry, at, faults, **changed)
        if len(faults) == before:
            yield made


def _find_entry(
    registry: Mapping[str, Kind], name: str, at: str, faults: list[str], reserved: str | None = None
) -> Any:
    """Find the entry of a registry, or say what is wrong with the kind of the block at `at`."""
    try:
        entry = find(registry, name)
    except Exception as error:  # A module of the user's own may raise anything.
        known = isinstance(error, ImportError | TypeError | ValueError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError):
            reason += (
                f"; modules are sought in the working directory ({Path.cwd()}), then on Python's "
                "path: put it there, or install it"
            )
        faults.append(f"{at}.kind: {name!r} is no entry of a registry: {reason}")
        return None
    if entry is None or name == reserved:
        allowed = list_names(one for one in registry if one != reserved)
        own = "or package.module:ENTRY of your own"
        faults.append(f"{at}.kind: there is no {name!r} here; allowed: {allowed}, {own}")
        return None
    return entry


def _check_name(section: str, name: str, at: str, names: Mapping[str, int]) -> Iterator[str]:
    if not re.fullmatch(NAME, name):
        yield f"{at}.name: {name!r}, the kind's, does not match {NAME}; give the block a `name`"
    if len(name) > LONGEST:
        yield (
            f"{at[:LONGEST]}….name: {len(name)} characters are too many for the name of a file; at "
            f"most {LONGEST}"
        )
    if name == RESERVED.get(section):
        yield f"{at}.name: {name!r} is taken; choose another"
    if name in names:
        yield (
            f"{at}.name: {section}[{names[name]}] has this name already; give one of them another "
            "`name`"
        )


def _fill(
    block: Configured[Any],
    entry: Kind,
    at: str,
    faults: list[str],
    *,
    is_part: bool = False,
    **changed: Any,
) -> Any:
    """Check the hyper-parameters of a block, and fill in their defaults."""
    model = entry.hyperparameters if is_part else entry.block
    general = [] if isinstance(block, Block) else list(type(block).model_fields)
    try:
        own = model.model_validate(block.given)
    except ValidationError as error:
        faults += explain(error, model, block.given, at, general)
        return block
    inner = getattr(entry, "filters", None)
    if inner:
        parts = _check_parts(own[inner], f"{at}.{inner}", faults)
        own = own.model_copy(update={inner: parts})
    made = block.with_hyperparameters(entry, own, **changed)
    if not is_part:
        faults += _check_spelling(made, at)
    return made


def _check_parts(parts: list[Any], at: str, faults: list[str]) -> list[Any]:
    """Check filters that are parts of something else: blocks without a name, and no list."""
    checked = []
    for index, part in enumerate(parts):
        here = f"{at}[{index}]"
        entry = _find_entry(FILTERS, part.kind, here, faults, NO_FILTER)
        if entry is not None:
            checked.append(_fill(part, entry, here, faults, is_part=True))
    return checked


def _check_spelling(block: Configured[Any], at: str) -> Iterator[str]:
    """No two values of a sweep may share a path, which must not be too long."""
    seen: set[str] = set()
    swept = block.entry.swept
    for index, level in enumerate(map(str, block.levels)):
        if len(level) > LONGEST:
            yield (
                f"{at}.{swept}[{index}]: {block[swept][index]!r} takes {len(level)} characters in "
                f"the name of a file; at most {LONGEST}"
            )
        if level in seen:
            yield f"{at}.{swept}[{index}]: {level} is there already; remove the duplicate"
        seen.add(level)


def check_keys(path: str | Path) -> None:
    """Refuse a file of configuration that has a key twice in a block: YAML would drop the first.

    What cannot be read is left to who reads the file.

    Raises:
        ConfigurationError: names each such key and its lines.
    """
    try:
        pending = [yaml.compose(Path(path).read_text(encoding="utf-8"), yaml.SafeLoader)]
    except (yaml.YAMLError, OSError, UnicodeError, RecursionError):
        return
    faults, seen = [], set()
    while pending:
        node = pending.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))  # an alias is the node that it stands for
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            pending.append(value)
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and lines.setdefault(key.value, line) != line:
                faults.append(
                    f"{key.value}: {path} has this key in line {lines[key.value]}, and again in "
                    f"line {line}; put both into one, or remove one"
                )
    if faults:
        raise refuse(reversed(faults))


def typed(value: Any) -> Any:
    """Read what is within a value of the command line as YAML does: Snakemake leaves it strings."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return read if isinstance(read, int | float) or read is None else value
