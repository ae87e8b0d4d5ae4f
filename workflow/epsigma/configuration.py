"""The configuration: checked against its schema, defaults filled in, errors in plain words.

Imports neither torch nor numpy.
"""

import copy
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator, FormatChecker, TypeChecker, ValidationError
from jsonschema.validators import extend

from epsigma.cell import NAME, Level, spell
from epsigma.datasets.source import is_inner
from epsigma.kinds import (
    AttackKind,
    DatasetKind,
    DetectorKind,
    FilterKind,
    Kind,
    Schema,
    TrainingKind,
    find,
)
from epsigma.plan.grid import levels, source_of
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.autoencoders import AUTOENCODERS
from epsigma.registry.datasets import DATASETS
from epsigma.registry.detectors import DETECTORS
from epsigma.registry.filters import FILTERS
from epsigma.registry.models import MODELS
from epsigma.registry.trainings import TRAININGS
from epsigma.storage.digest import code_digest
from epsigma.vocabulary import AWARE, NO_FILTER, THREATS

SCHEMA = Path(__file__).parents[1] / "schemas" / "config.schema.yaml"
REGISTRIES: dict[str, Mapping[str, Kind]] = {
    "datasets": DATASETS,
    "models": MODELS,
    "attacks": ATTACKS,
    "filters": FILTERS,
    "autoencoders": AUTOENCODERS,
    "detectors": DETECTORS,
}
RESERVED = {"filters": NO_FILTER}
# Of names and levels, which become names of files: those have 255 at most, temporary ones more.
LONGEST = 100
# Of lists and blocks in one another; deeper ones than any that are meant.
_DEPTH = 20
# The keys of a block that are not its kind's hyper-parameters.
GENERAL = {
    "datasets": ("kind", "name"),
    "models": ("kind", "name", "training", "checkpoint", "defends"),
    "attacks": ("kind", "name", "threats", "eot_samples", "examples", "models", "filters"),
    "filters": ("kind", "name", "threats", "then", "detectors", "models"),
    "autoencoders": ("kind", "name", "training"),
    "detectors": ("kind", "name", "false_positive_rate"),
}


def _is_integer(checker: TypeChecker, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON takes 64.0 for an integer; layers and loops don't.
VALIDATOR: Callable[..., Any] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)

FORMATS = FormatChecker(())


@FORMATS.checks("inner_path")
def _is_inner_path(value: object) -> bool:
    return not isinstance(value, str) or is_inner(value)


@cache
def _schema() -> Schema:
    """Read the schema; not to be modified."""
    read: Schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return read


class ConfigurationError(ValueError):
    """A configuration that cannot be run; the message lists every fault that was found."""


def validate(config: Mapping[str, Any]) -> dict[str, Any]:
    """Check a configuration and fill in its defaults.

    Args:
        config: as read from YAML; not modified.

    Returns:
        A plain dict in which every key of the schema has a value and every block its `name`.

    Raises:
        ConfigurationError: names each faulty key, what is wrong and what is allowed.
    """
    checked: dict[str, Any] = copy.deepcopy(dict(config))
    schema = _schema()
    faults = list(_not_finite(checked))
    if not any("contains itself" in fault or "nested" in fault for fault in faults):
        named = {fault.partition(": ")[0] for fault in faults}
        more = _check(checked, schema)
        faults += [fault for fault in more if fault.partition(": ")[0] not in named]
    if not faults:
        for section in REGISTRIES:
            faults += _check_blocks(section, checked[section])
    if not faults:
        faults += [
            *_check_examples(checked),
            *_check_threats(checked),
            *_check_transfers(checked),
            *_check_models(checked),
            *_check_names(checked),
        ]
    if faults:
        raise _refused(faults)
    return checked


def _refused(faults: Iterable[str]) -> ConfigurationError:
    lines = "".join(f"\n  {fault}" for fault in dict.fromkeys(faults))
    return ConfigurationError(f"the configuration cannot be run:{lines}")


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
        raise _refused(reversed(faults))


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


def general_keys(section: str) -> dict[str, Schema]:
    """Describe the keys that a section's blocks have, whatever their kind: their schemas."""
    schema = _schema()
    found: dict[str, Schema] = {}
    for part in schema["properties"][section]["items"]["allOf"]:
        name = part.get("$ref", "").rpartition("/")[2]
        found |= (schema["$defs"][name] if name else part)["properties"]
    return found


def block_schema(kind: Kind) -> Schema:
    """Describe a block of a kind: its hyper-parameters, the swept one as a list."""
    properties: dict[str, Schema] = {}
    for name, schema in kind.parameters.items():
        if name == kind.swept:
            properties[name] = {
                "description": f"swept: {schema.get('description', name)}",
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {key: schema[key] for key in schema if key != "description"},
            }
        else:
            properties[name] = dict(schema)
    required = [name for name, schema in properties.items() if "default" not in schema]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _not_finite(value: Any, at: str = "", within: tuple[int, ...] = ()) -> Iterator[str]:
    """Report what no comparison of a schema catches: .nan, .inf, what no float holds, and loops."""
    if id(value) in within:
        yield f"{at}: it contains itself; write it out, without the alias"
    elif len(within) > _DEPTH:
        yield f"{at}: it is nested more than {_DEPTH} deep; nothing here is"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{at}.{key}" if at else str(key), (*within, id(value)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, f"{at}[{index}]", (*within, id(value)))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{at}: {value} is not a finite number"
    elif isinstance(value, int) and abs(value) > sys.float_info.max:
        yield f"{at}: an integer of {value.bit_length()} bits is more than any number here holds"


def _check(value: Any, schema: Schema, at: str = "") -> Iterator[str]:
    """Fill defaults into `value` and report its faults, each with its key."""
    validator = VALIDATOR(schema, format_checker=FORMATS)
    _fill_defaults(value, schema, schema)
    errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.path)))
    # What else is wrong with a value of another type says nothing more.
    mistyped = {tuple(error.path) for error in errors if error.validator == "type"}
    for error in errors:
        if error.validator == "type" or tuple(error.path) not in mistyped:
            yield _explain(error, at)


def _fill_defaults(value: Any, schema: Schema, root: Schema) -> None:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        _fill_defaults(value, root["$defs"][name], root)
    for part in schema.get("allOf", ()):
        _fill_defaults(value, part, root)
    if isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            if "default" in inner:
                value.setdefault(key, copy.deepcopy(inner["default"]))
            if key in value:
                _fill_defaults(value[key], inner, root)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            _fill_defaults(item, schema["items"], root)


def _look_up(
    registry: Mapping[str, Kind], name: str, at: str, reserved: str | None = None
) -> tuple[Kind | None, str]:
    """Find the entry of a registry, or say what is wrong with the kind of the block at `at`."""
    try:
        kind: Kind | None = find(registry, name)
    except Exception as error:  # A module of the user's own may raise anything.
        return None, f"{at}.kind: {name!r} is no entry of a registry: {_reason(error)}"
    if kind is None or name == reserved:
        allowed = _listed(one for one in registry if one != reserved)
        own = "or package.module:ENTRY of your own"
        return None, f"{at}.kind: there is no {name!r} here; allowed: {allowed}, {own}"
    return kind, ""


def _check_blocks(section: str, blocks: list[dict[str, Any]]) -> Iterator[str]:
    """Check each block of a section against its kind, and the section's names."""
    registry = REGISTRIES[section]
    names: dict[str, int] = {}
    for index, block in enumerate(blocks):
        block.setdefault("name", block["kind"].rpartition(":")[2].lower())
        at = f"{section}[{index}] ({block['name']})"
        kind, fault = _look_up(registry, block["kind"], at, RESERVED.get(section))
        if kind is None:
            yield fault
            continue
        if not re.fullmatch(NAME, block["name"]):
            yield (
                f"{at}.name: {block['name']!r}, the kind's, does not match {NAME}; give the block "
                "a `name`"
            )
        if len(block["name"]) > LONGEST:
            yield (
                f"{at[:LONGEST]}….name: {len(block['name'])} characters are too many for the name "
                f"of a file; at most {LONGEST}"
            )
        if block["name"] == RESERVED.get(section):
            yield f"{at}.name: {block['name']!r} is taken; choose another"
        if block["name"] in names:
            yield (
                f"{at}.name: {section}[{names[block['name']]}] has this name already; "
                "give one of them another `name`"
            )
        names.setdefault(block["name"], index)
        if isinstance(kind, AttackKind | FilterKind):
            possible = kind.threats if isinstance(kind, AttackKind) else THREATS
            for threat in block.setdefault("threats", list(possible)):
                if threat not in possible:
                    yield f"{at}.threats: {threat!r} is not allowed; allowed: {_listed(possible)}"
        general: dict[str, Any] = {key: block[key] for key in GENERAL[section] if key in block}
        own = {key: block[key] for key in block if key not in general}
        faults = list(_check(own, block_schema(kind), at))
        if section == "models":
            faults += _check_training(general["training"], f"{at}.training")
        for key, parts in (("then", general), (getattr(kind, "filters", None) or "", own)):
            faults += _check_parts(parts.get(key), f"{at}.{key}") if not faults else ()
        yield from faults
        if not faults:
            yield from _check_spelling(own, kind, at)
        block.clear()
        block.update(general, **own)


def _check_training(training: dict[str, Any], at: str) -> Iterator[str]:
    """Check how a model is trained against its kind of training; a sweep has distinct values."""
    kind, fault = _look_up(TRAININGS, training["kind"], at)
    if kind is None:
        yield fault
        return
    schema = block_schema(kind)
    general = general_keys("models")["training"]["properties"]
    schema["properties"] = {**general, **schema["properties"]}
    faults = list(_check(training, schema, at))
    yield from faults
    if not faults:
        yield from _check_spelling(training, kind, at)


def _check_parts(parts: list[dict[str, Any]] | None, at: str) -> Iterator[str]:
    """Check filters that are parts of something else: blocks without a name, and no list."""
    for index, part in enumerate(parts or ()):
        here = f"{at}[{index}]"
        kind, fault = _look_up(FILTERS, part["kind"], here, NO_FILTER)
        if kind is None:
            yield fault
            continue
        schema = {
            "type": "object",
            "properties": {"kind": {"type": "string"}, **dict(kind.parameters)},
            "required": [name for name, about in kind.parameters.items() if "default" not in about],
            "additionalProperties": False,
        }
        yield from _check(part, schema, here)


def _check_spelling(block: dict[str, Any], kind: Kind, at: str) -> Iterator[str]:
    """No two values of a sweep may share a path, which must not be too long."""
    seen: set[str] = set()
    for index, level in enumerate(map(str, levels(block, kind.swept))):
        if len(level) > LONGEST:
            value = block[cast(str, kind.swept)][index]
            yield (
                f"{at}.{kind.swept}[{index}]: {value!r} takes {len(level)} characters in the name "
                f"of a file; at most {LONGEST}"
            )
        if level in seen:
            yield f"{at}.{kind.swept}[{index}]: {level} is there already; remove the duplicate"
        seen.add(level)


def _check_threats(study: dict[str, Any]) -> Iterator[str]:
    """Refuse an aware attacker where nobody has said how it differentiates through the filter."""
    if not any(AWARE in attack["threats"] for attack in study["attacks"]):
        return
    for index, filter_ in enumerate(study["filters"]):
        unknown = [
            part["kind"]
            for part in (filter_, *filter_["then"], *_squeezers(study, filter_))
            if find(FILTERS, part["kind"]).gradient is None
        ]
        if AWARE in filter_["threats"] and unknown:
            yield (
                f"filters[{index}] ({filter_['name']}).threats: the kind {unknown[0]!r} is "
                "declared neither differentiable nor handled, so no aware attack can be made; say "
                "in its registry entry how to differentiate through it, or set threats: [blind]"
            )


def _squeezers(study: dict[str, Any], filter_: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """List the filters of the detectors that look at what a filter is given."""
    for detector in study["detectors"]:
        if detector["name"] in filter_["detectors"]:
            inner = find(DETECTORS, detector["kind"]).filters
            yield from detector[inner] if inner else ()


def _check_names(study: dict[str, Any]) -> Iterator[str]:
    """What names another block names one that is there."""
    trained = _own_names(expand(study), "models")
    models = [*_own_names(study, "models"), *trained]
    sections = ("filters", "detectors", "autoencoders")
    filters, detectors, autoencoders = (_own_names(study, name) for name in sections)
    for index, model in enumerate(study["models"]):
        # Of a sweep one has to be named.
        others = [name for name in trained if name.partition("/")[0] != model["name"]]
        if model["defends"] not in (None, *others):
            yield (
                f"models[{index}] ({model['name']}).defends: there is no model "
                f"{model['defends']!r} beside it; allowed: {_listed(others)}, or null"
            )
    for section in ("attacks", "filters"):
        for index, block in enumerate(study[section]):
            at = f"{section}[{index}] ({block['name']})"
            for name in block["models"] or ():
                if name not in models:
                    allowed = _listed(dict.fromkeys(models))
                    yield f"{at}.models: there is no model {name!r}; allowed: {allowed}"
            if block["kind"] == "identity" and not (block["detectors"] or block["then"]):
                yield (
                    f"{at}: it changes nothing, and nothing looks at what it is given; give it "
                    "`detectors`, or leave it out: no filter is always included"
                )
            for name in (block["filters"] if section == "attacks" else None) or ():
                if name not in filters:
                    allowed = _listed(filters)
                    yield f"{at}.filters: there is no filter {name!r}; allowed: {allowed}"
            for name in block.get("detectors", ()):
                if name not in detectors:
                    yield (
                        f"{at}.detectors: there is no detector {name!r}; allowed: "
                        f"{_listed(detectors) or 'none, for the study has no `detectors`'}"
                    )
    for section, key in (("filters", "then"), ("detectors", None)):
        for index, block in enumerate(study[section]):
            at = f"{section}[{index}] ({block['name']})"
            kind = find(REGISTRIES[section], block["kind"])
            inner = key or getattr(kind, "filters", None)
            parts = [(at, kind, block)]
            for number, part in enumerate(block[inner] if inner else ()):
                parts.append((f"{at}.{inner}[{number}]", find(FILTERS, part["kind"]), part))
            for where, part_kind, part in parts:
                needs = part_kind.autoencoder
                if needs and part[needs] not in autoencoders:
                    yield (
                        f"{where}.{needs}: there is no autoencoder {part[needs]!r}; allowed: "
                        f"{_listed(autoencoders) or 'none, for the study has no `autoencoders`'}"
                    )


def _own_names(study: Mapping[str, Any], section: str) -> list[str]:
    return [block["name"] for block in study[section]]


def expand(study: Mapping[str, Any]) -> dict[str, Any]:
    """Make of each model whose training is swept one for each level, `name/temperature~20`.

    Args:
        study: a validated configuration; not modified.
    """
    models = []
    for model in study["models"]:
        kind = find(TRAININGS, model["training"]["kind"])
        for level in levels(model["training"], kind.swept):
            training = {**model["training"], **level.parameters}
            name = model["name"] if kind.swept is None else f"{model['name']}/{level}"
            models.append({**model, "name": name, "training": training})
    return {**study, "models": models}


def _check_examples(study: dict[str, Any]) -> Iterator[str]:
    """Fooling images are made, not taken from the test set."""
    for index, attack in enumerate(study["attacks"]):
        is_fooling = find(ATTACKS, attack["kind"]).family == "fooling"
        if is_fooling and attack["examples"] is not None:
            yield (
                f"attacks[{index}] ({attack['name']}).examples: fooling images are of no test "
                "image; say with `images` how many to make for each class"
            )


def _check_transfers(study: dict[str, Any]) -> Iterator[str]:
    """A transfer takes over another attack of the study, from another model or seed."""
    models = _own_names(expand(study), "models")
    attacks = {attack["name"]: attack for attack in study["attacks"]}
    for index, transfer in enumerate(study["attacks"]):
        if transfer["kind"] != "transfer":
            continue
        at = f"attacks[{index}] ({transfer['name']})"
        sources = []
        for name, attack in attacks.items():
            kind = find(ATTACKS, attack["kind"])
            if kind.family != "transfer" and kind.swept == "eps" and not kind.targeted:
                sources.append(name)
        if transfer["attack"] not in sources:
            yield f"{at}.attack: {transfer['attack']!r} is not allowed; allowed: {_listed(sources)}"
        if transfer["source_model"] not in (None, *models):
            yield (
                f"{at}.source_model: there is no model {transfer['source_model']!r}; allowed: "
                f"{_listed(models)}, or null"
            )
        elif all(
            source_of(transfer, model, seed) == (model, seed)
            for model in models
            for seed in study["seeds"]
        ):
            yield (
                f"{at}: the source is the model that is attacked; name another source_model or "
                "source_seed"
            )


def _check_models(study: dict[str, Any]) -> Iterator[str]:
    """Look for the user's own code and weights, and refuse weights that no seed can change."""
    fixed = {model["name"] for model in study["models"] if model["checkpoint"] is not None}
    for index, model in enumerate(study["models"]):
        at = f"models[{index}] ({model['name']})"
        if "factory" in model:
            yield from _check_factory(model["factory"], f"{at}.factory")
        if model["name"] not in fixed:
            continue
        path = Path(model["checkpoint"])
        if not path.is_file():
            wrong = "is no file" if path.exists() else "does not exist"
            yield (
                f"{at}.checkpoint: {path} {wrong}; name the file of the weights, relative to the "
                f"working directory ({Path.cwd()})"
            )
        if len(study["seeds"]) > 1:
            yield (
                f"{at}.checkpoint: these weights are the same from every seed, and "
                f"{len(study['seeds'])} seeds would count them as {len(study['seeds'])} models; "
                f"set seeds: [{study['seeds'][0]}], or train the model here"
            )
    for index, attack in enumerate(study["attacks"]):
        if attack["kind"] != "transfer" or attack["source_seed"] in (None, *study["seeds"][:1]):
            continue
        source = attack["source_model"]
        for model in sorted(fixed if source is None else fixed & {source}):
            yield (
                f"attacks[{index}] ({attack['name']}).source_seed: the weights of {model} are "
                "those of its checkpoint, whatever the seed; leave source_seed out, and name "
                "another source_model"
            )


def _check_factory(factory: str, at: str) -> Iterator[str]:
    """Look for the source of the user's function, without importing it."""
    module = factory.partition(":")[0]
    try:
        code_digest(module)
    except ModuleNotFoundError as error:
        yield (
            f"{at}: {error}, neither in the working directory ({Path.cwd()}) nor on Python's path; "
            "write it there, or correct the name"
        )
    except SyntaxError as error:
        yield f"{at}: {error.filename}, line {error.lineno}, is no Python: {error.msg}"


def _explain(error: ValidationError, at: str) -> str:
    """Say of a schema violation which key it is, what is wrong and what is allowed."""
    key = at
    for part in error.absolute_path:
        key += f"[{part}]" if isinstance(part, int) else f"{'.' if key else ''}{part}"
    key = key or "the configuration"
    value: Any = error.instance
    limit: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            known = cast(Schema, error.schema)["properties"]
            unknown = [name for name in value if name not in known]
            return f"{key}: unknown key {_listed(unknown)}; allowed: {_listed(known)}"
        case "required":
            return f"{key}: the key {_listed(n for n in limit if n not in value)} is missing"
        case "type":
            expected = " or ".join(limit) if isinstance(limit, list) else limit
            schema = cast(Schema, error.schema)
            return f"{key}: {_shown(value)} is not of type {expected}{_hint(value, limit, schema)}"
        case "enum":
            return f"{key}: {value!r} is not allowed; allowed: {_listed(limit)}"
        case "minItems":
            return f"{key}: the list is empty; it takes at least {limit}"
        case "uniqueItems":
            return f"{key}: {value!r} holds a value twice; remove the duplicate"
        case "minimum":
            return f"{key}: {value!r} is too small; it is at least {limit}"
        case "maximum":
            return f"{key}: {value!r} is too large; it is at most {limit}"
        case "exclusiveMinimum":
            return f"{key}: {value!r} is too small; it is greater than {limit}"
        case "exclusiveMaximum":
            return f"{key}: {value!r} is too large; it is less than {limit}"
        case "format":
            return f"{key}: {value!r} is not a path within data_dir: relative, and without `..`"
        case "pattern" if re.sub(r"[\^$]|\\Z", "", limit) == NAME:
            return f"{key}: {_shown(value)} is no name for files and tables{_as_name(value)}"
        case "pattern":
            examples = cast(Schema, error.schema).get("examples", ())
            return f"{key}: {value!r} does not match {limit}" + "".join(
                f"; write it like {example}" for example in examples
            )
        case "not":
            return f"{key}: {value!r} is not allowed"
        case "anyOf":
            meant = cast(Schema, error.schema).get("description", error.message)
            return f"{key}: {value!r} is not allowed; it is {meant}"
    return f"{key}: {error.message}"


def _reason(error: Exception) -> str:
    """Say what went wrong; of what a module raises itself, which kind of error it was."""
    known = isinstance(error, ImportError | TypeError | ValueError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _shown(value: Any) -> str:
    """Show a value, of a long one the beginning."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _hint(value: Any, expected: str | list[str], schema: Schema) -> str:
    """Say how a value of another type would be written as it is expected."""
    is_plain = isinstance(value, str | int | float)
    if expected in ("integer", "number") and isinstance(value, list):
        return "; it is one value here, not a list"
    if expected == "array" and is_plain and "kind" in schema["items"].get("properties", ()):
        return f"; write a list of blocks: [{{kind: {value}, …}}]"
    if expected == "array" and is_plain:
        return f"; write a list: [{_shown(value).strip(chr(39))}]"
    if expected == "boolean" and is_plain:
        return "; write true or false"
    if expected == "string" and is_plain:
        return f"; YAML takes it for something else: write '{value}', in quotes"
    return _as_number(value) if "number" in expected or "integer" in expected else ""


def _as_name(value: str) -> str:
    """Say what a name looks like, and how the one that was meant would be written."""
    plain = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")[:LONGEST]
    like = plain if re.fullmatch(NAME, plain) else "a_name"
    return f": small letters (a to z), digits and _, a letter first; write it like {like}"


def _as_number(value: Any) -> str:
    """Explain YAML's surprise: 1e-3 is a string, 0.001 and 1.0e-3 are numbers."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f" (a string in YAML; write {spell(number)})" if math.isfinite(number) else ""


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names)


def settings(
    study: Mapping[str, Any], section: str, name: str, level: str | None = None
) -> dict[str, Any]:
    """Say how to make what a wildcard names.

    Args:
        study: a validated configuration.
        section: `datasets`, `models`, `attacks`, `filters` or `autoencoders`.
        name: of a block in it.
        level: the budget or strength as paths spell it; None leaves the swept hyper-parameter
            open, for `at_level`.

    Returns:
        `implementation`, and `parameters` by keyword in the registry's order; `random` if the
        kind draws; `swept`, name and type of a hyper-parameter that is left open; and of a filter
        that others follow these as `then`, each with its `gradient`, as its own is.

    Raises:
        ValueError: if there is no such block, or the level is not spelt as it should be.
    """
    found = block(study, section, name)
    kind = find(REGISTRIES[section], found["kind"])
    made = _made(study, kind, found)
    if found.get("then"):
        made["gradient"] = kind.gradient
        made["then"] = [_part(study, part) for part in found["then"]]
    if kind.swept is not None:
        made["swept"] = [kind.swept, kind.parameters[kind.swept].get("type", "number")]
    if level is None:
        return made
    check_level(study, section, name, level)
    return at_level(made, level)


def _made(
    study: Mapping[str, Any], kind: Kind, found: Mapping[str, Any], *, swept: bool = False
) -> dict[str, Any]:
    """Say how to make a block, without its swept hyper-parameter unless that has one value."""
    parameters = {key: found[key] for key in kind.parameters if swept or key != kind.swept}
    if needs := getattr(kind, "autoencoder", None):
        parameters[needs] = _trained(study, parameters[needs])
    if inner := getattr(kind, "filters", None):
        parameters[inner] = [_part(study, part) for part in parameters[inner]]
    made: dict[str, Any] = {"implementation": kind.implementation, "parameters": parameters}
    if getattr(kind, "random", False):
        made["random"] = True
    return made


def _part(study: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Say how to make a filter that is part of something else, and how to attack it."""
    kind: FilterKind = find(FILTERS, part["kind"])
    return {**_made(study, kind, part, swept=True), "gradient": kind.gradient}


def _trained(study: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Say how to make an autoencoder; `located` adds where its weights are."""
    return {"autoencoder": name, **settings(study, "autoencoders", name)}


def detector_settings(study: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Say how to make a detector; `located` adds where its threshold is."""
    found = block(study, "detectors", name)
    return {"detector": name, **_made(study, find(DETECTORS, found["kind"]), found)}


def training_settings(study: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Say how a model is trained: the general keys, and the `objective`, how to make it."""
    training = block(study, "models", name)["training"]
    kind = find(TRAININGS, training["kind"])
    own = {key: training[key] for key in kind.parameters}
    general = {key: value for key, value in training.items() if key not in own and key != "kind"}
    return {**general, "objective": {"implementation": kind.implementation, "parameters": own}}


def needs(settings: Any) -> Iterator[dict[str, Any]]:
    """Find, in settings of any depth, what is trained or calibrated apart.

    Yields:
        The dicts that have an `autoencoder`'s or a `detector`'s name, the inner ones first.
    """
    values = settings.values() if isinstance(settings, dict) else settings
    if isinstance(settings, dict | list):
        for value in values:
            yield from needs(value)
    is_made = isinstance(settings, dict) and "implementation" in settings
    if is_made and ("autoencoder" in settings or "detector" in settings):
        yield settings


def located(settings: dict[str, Any], path_of: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    """Add to what `needs` finds where it is, unless it is told: a `checkpoint`, or a `threshold`.

    Args:
        settings: not modified.
        path_of: the path of one of these dicts.
    """
    made = copy.deepcopy(settings)
    for found in needs(made):
        key = "checkpoint" if "autoencoder" in found else "threshold"
        found[key] = found.get(key) or path_of(found)
    return made


def check_level(study: Mapping[str, Any], section: str, name: str, level: str) -> None:
    """Make sure that a level is one of an attack or a filter.

    Raises:
        ValueError: if it is not spelt as it should be, or is of another hyper-parameter.
    """
    swept = find(REGISTRIES[section], block(study, section, name)["kind"]).swept
    if Level.parse(level).name != swept:
        raise ValueError(f"{level!r} is no level of {name}, which sweeps {swept}")


def at_level(settings: dict[str, Any], level: str) -> dict[str, Any]:
    """Fill in what `settings` leaves open.

    Args:
        settings: of an attack or a filter.
        level: its budget or strength as paths spell it.
    """
    made = dict(settings)
    _, type_ = made.pop("swept", (None, None))
    parsed = Level.parse(level)
    filled = {
        key: int(value) if type_ == "integer" else value for key, value in parsed.parameters.items()
    }
    return {**made, "parameters": {**made["parameters"], **filled}}


def of_cell(settings: dict[str, Any], cell: Mapping[str, str]) -> dict[str, Any]:
    """Fill a cell's budget and strength in, where the settings of a stage leave them open.

    What Snakemake watches has them open: they are in the paths, and jobs that make one cell or
    many are then told the same.
    """
    made = dict(settings)
    for key, wildcard in (("attack", "budget"), ("filter", "strength")):
        if "swept" in made.get(key, ()):
            made[key] = at_level(made[key], cell[wildcard])
    return made


def block(study: Mapping[str, Any], section: str, name: str) -> dict[str, Any]:
    """Find the block of a name; the filter `none` is always there.

    Raises:
        ValueError: if there is none; the message lists the names.
    """
    blocks = [*study[section]]
    if section in RESERVED:
        blocks.append({"kind": RESERVED[section], "name": RESERVED[section]})
    for candidate in blocks:
        if candidate["name"] == name:
            return dict(candidate)
    allowed = _listed(candidate["name"] for candidate in blocks)
    raise ValueError(f"there is no {name!r} among the {section} of the configuration: {allowed}")


def own_data(study: Mapping[str, Any], name: str) -> str | None:
    """Find the path, relative to `data_dir`, of the user's own data that a data set is read from.

    None if what it is read from is known, and checked.
    """
    found = block(study, "datasets", name)
    kind: DatasetKind = find(DATASETS, found["kind"])
    return found[kind.source] if kind.source else None


def block_levels(study: Mapping[str, Any], section: str, name: str) -> list[str]:
    """List the levels of a block as paths spell them, in ascending order."""
    found = block(study, section, name)
    unordered = levels(found, find(REGISTRIES[section], found["kind"]).swept)
    return [str(level) for level in sorted(unordered, key=lambda level: level.value or 0)]


def attack_kind(study: Mapping[str, Any], name: str) -> AttackKind:
    """Find the registry's entry of an attack; a transfer has the norm of what it takes over."""
    found = block(study, "attacks", name)
    kind: AttackKind = find(ATTACKS, found["kind"])
    if kind.family == "transfer":
        return replace(kind, norm=attack_kind(study, found["attack"]).norm)
    return kind


def filter_kind(study: Mapping[str, Any], name: str) -> FilterKind:
    """Find the registry's entry of a filter."""
    kind: FilterKind = find(FILTERS, block(study, "filters", name)["kind"])
    return kind


def attack_settings(
    study: Mapping[str, Any], name: str, level: str | None = None
) -> dict[str, Any]:
    """Say how to make an attack, as `settings` does, and what it attacks.

    The latter for `epsigma.attacks.craft.rows_of`: `examples` and `targets`, or, of images that
    it makes itself, `fooling`. A transfer's parameters are `attack`, how to make what it takes
    over, and the budget: on which model is not its business.
    """
    own = settings(study, "attacks", name)
    found, kind = block(study, "attacks", name), attack_kind(study, name)
    if kind.family == "fooling":
        own["images"] = own["parameters"].pop("images")
    if kind.targeted:
        own["targets"] = own["parameters"].pop("targets")
    if kind.family != "fooling" and found["examples"] is not None:
        own["examples"] = found["examples"]
    if kind.family == "transfer":
        source = settings(study, "attacks", own["parameters"]["attack"])
        # The budget is the transfer's own.
        own["swept"] = source.pop("swept")
        own["parameters"] = {"attack": source}
        if source.pop("random", False):
            own["random"] = True
    if level is None:
        return own
    check_level(study, "attacks", name, level)
    return at_level(own, level)


def filter_gradient(study: Mapping[str, Any], name: str) -> str | None:
    """Say how an aware attacker differentiates through a filter and what follows it.

    None if nobody has said so of one of them; `bpda` if one of them wants it.
    """
    gradients = [kind.gradient for kind in _filter_kinds(study, name)]
    return None if None in gradients else "bpda" if "bpda" in gradients else "exact"


def is_random(study: Mapping[str, Any], name: str) -> bool:
    """Whether a filter draws, or one that follows it."""
    return any(kind.random for kind in _filter_kinds(study, name))


def _filter_kinds(study: Mapping[str, Any], name: str) -> list[FilterKind]:
    found = block(study, "filters", name)
    return [find(FILTERS, part["kind"]) for part in (found, *found.get("then", ()))]


def filter_modules(study: Mapping[str, Any], name: str) -> list[str]:
    """Name the modules of a filter, of what follows it, and of the autoencoders of these."""
    modules = [kind.module for kind in _filter_kinds(study, name)]
    found = [found["implementation"] for found in needs(settings(study, "filters", name))]
    return modules + [implementation.partition(":")[0] for implementation in found]


def watching(study: Mapping[str, Any], name: str) -> list[str]:
    """Name the detectors that look at what a filter is given."""
    return list(block(study, "filters", name).get("detectors", ()))


def detector_modules(study: Mapping[str, Any], name: str) -> list[str]:
    """Name the modules of a detector, of its autoencoder, and of its filters."""
    made = detector_settings(study, name)
    kind: DetectorKind = find(DETECTORS, block(study, "detectors", name)["kind"])
    inner = made["parameters"][kind.filters] if kind.filters else ()
    found = [made, *needs(made), *inner]
    return list(dict.fromkeys(one["implementation"].partition(":")[0] for one in found))


def training_modules(study: Mapping[str, Any], name: str) -> list[str]:
    """Name the modules of how a model is trained."""
    return [find(TRAININGS, block(study, "models", name)["training"]["kind"]).module]


def model_label(study: Mapping[str, Any], name: str) -> str:
    """Say what a model is, for what compares it with others: `cnn`, `cnn adversarial pgd`."""
    found = block(study, "models", name)
    training = found["training"]
    if found["checkpoint"] is not None or training["kind"] == "standard":
        return str(found["kind"])
    how = training.get("method", "")
    if (swept := find(TRAININGS, training["kind"]).swept) is not None:
        how = spell(training[swept])
    return f"{found['kind']} {training['kind']} {how}".rstrip()


def has_teacher(study: Mapping[str, Any], name: str) -> bool:
    """Whether a model learns from a teacher, which is trained first."""
    found = block(study, "models", name)
    kind = find(TRAININGS, found["training"]["kind"])
    return found["checkpoint"] is None and isinstance(kind, TrainingKind) and kind.teacher


def model_modules(study: Mapping[str, Any], name: str) -> list[str]:
    """Name the modules of a model: also the user's own, of a factory."""
    found = block(study, "models", name)
    modules = [find(MODELS, found["kind"]).module]
    if "factory" in found:
        modules.append(found["factory"].partition(":")[0])
    return modules


def attack_modules(study: Mapping[str, Any], name: str) -> list[str]:
    """Name the modules of an attack, and of what it takes over if it is a transfer."""
    found = block(study, "attacks", name)
    modules = [find(ATTACKS, found["kind"]).module]
    if attack_kind(study, name).family == "transfer":
        modules += attack_modules(study, found["attack"])
    return modules
