"""How to make what a wildcard names: settings, plain values that Snakemake watches and stages get.

`implementation` says where it lives, `parameters` are its hyper-parameters by keyword.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from epsigma.cell import Level
from epsigma.kinds import AttackKind, Configured, Part
from epsigma.study.blocks import Model, Training
from epsigma.study.references import find_attack_kind
from epsigma.study.schema import Study
from epsigma.vocabulary import FLOAT32, FOOLING, TRANSFER

Settings = dict[str, Any]


def settings(study: Study, section: str, name: str, level: str | None = None) -> Settings:
    """Say how to make what a wildcard names.

    Args:
        study: the study.
        section: `datasets`, `models`, `attacks`, `filters` or `autoencoders`.
        name: of a block in it.
        level: the budget or strength as paths spell it; None leaves the swept hyper-parameter
            open, for `at_level`.

    Returns:
        `implementation`, and `parameters` by keyword in the registry's order; `random` if the
        kind draws; `swept`, name and type of a hyper-parameter that is left open; of a filter that
        others follow these as `then`, each with its `gradient`, as its own is; and of a model
        `preprocess` and `normalize`, if it has them.

    Raises:
        ValueError: if there is no such block, or the level is not spelt as it should be.
    """
    block: Configured[Any] = study.find(section, name)
    made = _make(study, block)
    if block.get("then"):
        made["gradient"] = block.entry.gradient
        made["then"] = [_make_part(study, part) for part in block["then"]]
    if isinstance(block, Model):
        front = {"preprocess": block.preprocess, "normalize": block.normalize}
        made |= {name: part.model_dump() for name, part in front.items() if part is not None}
    swept = block.entry.swept
    if swept is not None:
        made["swept"] = [swept, block.entry.schemas[swept].get("type", "number")]
    if level is None:
        return made
    check_level(study, section, name, level)
    return at_level(made, level)


def _make(study: Study, block: Configured[Any]) -> Settings:
    """Say how to make a block, without its swept hyper-parameter unless that has one value."""
    entry = block.entry
    left_out = None if isinstance(block, Part | Training) else entry.swept
    parameters = {key: value for key, value in block.hyperparameters.items() if key != left_out}
    if needed := getattr(entry, "autoencoder", None):
        name = parameters[needed]
        parameters[needed] = {"autoencoder": name, **settings(study, "autoencoders", name)}
    if inner := getattr(entry, "filters", None):
        parameters[inner] = [_make_part(study, part) for part in parameters[inner]]
    made: Settings = {"implementation": entry.implementation, "parameters": parameters}
    if getattr(entry, "random", False):
        made["random"] = True
    return made


def _make_part(study: Study, part: Part) -> Settings:
    """Say how to make a filter that is part of something else, and how to attack it."""
    return {**_make(study, part), "gradient": part.entry.gradient}


def attack_settings(study: Study, name: str, level: str | None = None) -> Settings:
    """Say how to make an attack, as `settings` does, and what it attacks.

    The latter for `epsigma.attacks.craft`: `examples`, `targets`, `ensemble` and `bounded_by`, the
    budget of one that a norm bounds, or, of fooling images, `images`, how many a class. A
    transfer's parameters are `attack`, how to make what it takes over, and the budget: on which
    model is not its business.
    """
    made, block = settings(study, "attacks", name), study.find("attacks", name)
    entry: AttackKind = block.entry
    if entry.family == FOOLING:
        made["images"] = made["parameters"].pop("images")
    if entry.ensemble:
        made["ensemble"] = True
    if find_attack_kind(study, block).norm is not None:
        made["bounded_by"] = entry.swept
    if entry.targeted:
        made["targets"] = made["parameters"].pop("targets")
    if entry.family != FOOLING and block.examples is not None:
        made["examples"] = block.examples
    if entry.family == TRANSFER:
        source = settings(study, "attacks", made["parameters"]["attack"])
        # The budget is the transfer's own.
        made["swept"] = source.pop("swept")
        made["parameters"] = {"attack": source}
        if source.pop("random", False):
            made["random"] = True
    if level is None:
        return made
    check_level(study, "attacks", name, level)
    return at_level(made, level)


def stored_settings(study: Study, name: str) -> Settings:
    """Say, beside `attack_settings`, how the set of an attack is rounded; of float32 nothing.

    Only what makes sets is told: attacks are tried and probed as they are.
    """
    if study.stored_as == FLOAT32:
        return {}
    kind = find_attack_kind(study, study.find("attacks", name))
    sparse = {"minimises": "l0"} if kind.minimises == "l0" else {}
    return {"stored_as": study.stored_as, "norm": kind.norm, **sparse}


def direction_settings(study: Study, name: str) -> Settings | None:
    """Say how to make what an attack steps along, whatever its budget; None if it does not.

    Of a transfer it is that of the attack that it takes over.
    """
    block = study.find("attacks", name)
    if block.entry.family == TRANSFER:
        return direction_settings(study, block["attack"])
    if block.entry.direction is None:
        return None
    return {**_make(study, block), "implementation": block.entry.direction}


def detector_settings(study: Study, name: str) -> Settings:
    """Say how to make a detector; `locate_parts` adds where its threshold is."""
    return {"detector": name, **_make(study, study.find("detectors", name))}


def training_settings(study: Study, name: str) -> Settings:
    """Say how a model is trained: the general keys, and the `objective`, how to make it."""
    training = study.find("models", name).training
    general = {key: training[key] for key in type(training).model_fields if key != "kind"}
    return {**general, "objective": _make(study, training)}


def check_level(study: Study, section: str, name: str, level: str) -> None:
    """Make sure that a level is one of an attack or a filter.

    Raises:
        ValueError: if it is not spelt as it should be, or is of another hyper-parameter.
    """
    swept = study.find(section, name).entry.swept
    if Level.parse(level).name != swept:
        raise ValueError(f"{level!r} is no level of {name}, which sweeps {swept}")


def block_levels(study: Study, section: str, name: str) -> list[str]:
    """List the levels of a block as paths spell them, in ascending order."""
    levels = study.find(section, name).levels
    return [str(level) for level in sorted(levels, key=lambda level: level.value or 0)]


def at_level(made: Settings, level: str) -> Settings:
    """Fill in what `settings` leaves open.

    Args:
        made: settings of an attack or a filter; not modified.
        level: its budget or strength as paths spell it.
    """
    _, type_ = made.get("swept", (None, None))
    filled = {
        key: int(value) if type_ == "integer" else value
        for key, value in Level.parse(level).parameters.items()
    }
    rest = {key: value for key, value in made.items() if key != "swept"}
    return {**rest, "parameters": {**made["parameters"], **filled}}


def at_cell(made: Settings, wildcards: Mapping[str, str]) -> Settings:
    """Fill a cell's budget and strength in, where the settings of a stage leave them open.

    What Snakemake watches has them open: they are in the paths, and jobs that make one cell or
    many have the same settings.
    """
    filled = dict(made)
    for key, wildcard in (("attack", "budget"), ("filter", "strength")):
        if "swept" in filled.get(key, ()):
            filled[key] = at_level(filled[key], wildcards[wildcard])
    return filled


def find_parts(made: Any) -> Iterator[Settings]:
    """Find, in settings of any depth, what is trained or calibrated apart.

    Yields:
        The dicts that have an `autoencoder`'s or a `detector`'s name, the inner ones first.
    """
    for value in made.values() if isinstance(made, dict) else made:
        if isinstance(value, dict | list):
            yield from find_parts(value)
    is_made = isinstance(made, dict) and "implementation" in made
    if is_made and ("autoencoder" in made or "detector" in made):
        yield made


def locate_parts(made: Settings, path_of: Callable[[Settings], str]) -> Settings:
    """Add to what `find_parts` finds where it is, unless it is there: `checkpoint`, `threshold`.

    Args:
        made: settings; not modified.
        path_of: the path of one of these dicts.
    """
    located = copy.deepcopy(made)
    for part in find_parts(located):
        key = "checkpoint" if "autoencoder" in part else "threshold"
        part[key] = part.get(key) or path_of(part)
    return located
