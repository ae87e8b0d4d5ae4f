"""What is wrong with a configuration, in words: the key, the fault, and what is allowed."""

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from epsigma.cell import NAME, spell
from epsigma.fraction import read_fraction

# Of names and levels, which become names of files: those have 255 at most, temporary ones more.
LONGEST = 100
# Of lists and blocks in one another; deeper ones than any that are meant.
_DEPTH = 20
_LIMITS = {
    "greater_than_equal": "too small; it is at least {ge}",
    "less_than_equal": "too large; it is at most {le}",
    "greater_than": "too small; it is greater than {gt}",
    "less_than": "too large; it is less than {lt}",
}


class ConfigurationError(ValueError):
    """A configuration that cannot be run; the message lists every fault that was found."""


def refuse(faults: Iterable[str]) -> ConfigurationError:
    """Make the error of a configuration with faults, each said once."""
    lines = "".join(f"\n  {fault}" for fault in dict.fromkeys(faults))
    return ConfigurationError(f"the configuration cannot be run:{lines}")


def list_names(names: Iterable[Any]) -> str:
    """Write names as a list in a sentence."""
    return ", ".join(str(name) for name in names)


def find_not_finite(value: Any, at: str = "", within: tuple[int, ...] = ()) -> Iterator[str]:
    """Report what no comparison catches: .nan, .inf, what no float holds, and loops."""
    if id(value) in within:
        yield f"{at}: it contains itself; write it out, without the alias"
    elif len(within) > _DEPTH:
        yield f"{at}: it is nested more than {_DEPTH} deep; nothing here is"
    elif isinstance(value, dict):
        for key, inner in value.items():
            here = f"{at}.{key}" if at else str(key)
            yield from find_not_finite(inner, here, (*within, id(value)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from find_not_finite(inner, f"{at}[{index}]", (*within, id(value)))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{at}: {value} is not a finite number"
    elif isinstance(value, int) and abs(value) > sys.float_info.max:
        yield f"{at}: an integer of {value.bit_length()} bits is more than any number here holds"


def explain(
    error: ValidationError,
    model: type[BaseModel],
    given: Any,
    at: str = "",
    general: Sequence[str] = (),
) -> list[str]:
    """Say of each fault that pydantic found which key it is, what is wrong and what is allowed.

    Args:
        error: what pydantic raised.
        model: what was validated.
        given: the values that it was given.
        at: where these are in the configuration; empty for all of it.
        general: keys that are allowed beside those of the model.
    """
    root = model.model_json_schema()
    grouped: dict[tuple[Any, ...], list[ErrorDetails]] = {}
    for one in error.errors(include_url=False):
        grouped.setdefault(_place(one, root), []).append(one)
    found = []
    for where, same in sorted(grouped.items(), key=lambda item: [str(part) for part in item[0]]):
        schema, value = _walk(root, where), _look_up(given, where)
        key = at
        for part in where:
            key += f"[{part}]" if isinstance(part, int) else f"{'.' if key else ''}{part}"
        what = _say(same, schema, value, root, general)
        found.append(f"{key or 'the configuration'}: {what}")
    return found


def _place(error: ErrorDetails, root: Mapping[str, Any]) -> tuple[Any, ...]:
    """Say where a fault lies: of a key that is unknown or missing, in the block around it."""
    where = error["loc"]
    if error["type"] in ("extra_forbidden", "missing", "invalid_key"):
        return where[:-1]
    if where and where[-1] == "[key]":
        return where[:-2]
    schema: Mapping[str, Any] = root
    for depth, part in enumerate(where):
        schema = _step(schema, part, root)
        if "anyOf" in schema and not _is_nullable(schema):
            return where[: depth + 1]
    return where


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        about = {key: schema[key] for key in schema if key != "$ref"}
        return {**root["$defs"][schema["$ref"].rpartition("/")[2]], **about}
    return schema


def _step(schema: Mapping[str, Any], part: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in schema.get("anyOf", [schema]):
        option = _resolve(option, root)
        inner = option.get("items") if isinstance(part, int) else None
        inner = option.get("properties", {}).get(part, inner)
        if inner is not None:
            return _resolve(inner, root)
    return {}


def _walk(root: Mapping[str, Any], where: Sequence[Any]) -> Mapping[str, Any]:
    schema = root
    for part in where:
        schema = _step(schema, part, root)
    return schema


def _is_nullable(schema: Mapping[str, Any]) -> bool:
    return len(schema["anyOf"]) == 2 and {"type": "null"} in schema["anyOf"]


def _look_up(given: Any, where: Sequence[Any]) -> Any:
    for part in where:
        given = given[part]
    return given


def _say(
    errors: Sequence[ErrorDetails],
    schema: Mapping[str, Any],
    value: Any,
    root: Mapping[str, Any],
    general: Sequence[str],
) -> str:
    """Say what is wrong with the value of a key, and what is allowed."""
    error, type_ = errors[0], errors[0]["type"]
    context = error.get("ctx", {})
    if any(one["type"] in ("extra_forbidden", "invalid_key") for one in errors):
        options = [_resolve(one, root) for one in schema.get("anyOf", [schema])]
        keys = [key for one in options for key in one.get("properties", {})]
        names = [key for key in value if key not in keys]
        return f"unknown key {list_names(names)}; allowed: {list_names([*general, *keys])}"
    if type_ == "missing":
        return f"the key {list_names(one['loc'][-1] for one in errors)} is missing"
    # Of a value of the right type it is known what is wrong with it.
    if told := [one for one in errors if one["type"] == "said"]:
        return told[0]["msg"].replace("{shown}", repr(told[0]["input"]))
    if "anyOf" in schema and not _is_nullable(schema):
        return f"{value!r} is not allowed; it is {schema.get('description', error['msg'])}"
    if type_ == "literal_error":
        options = [_resolve(one, root) for one in schema.get("anyOf", [schema])]
        allowed = [name for one in options for name in one.get("enum", [one.get("const")])]
        # As YAML writes it.
        shown = ["null" if name is None else name for name in allowed]
        return f"{value!r} is not allowed; allowed: {list_names(shown)}"
    if type_ in _LIMITS:
        return f"{value!r} is {_LIMITS[type_].format(**context)}"
    if type_ == "too_short":
        return f"the list is empty; it takes at least {context['min_length']}"
    if type_ == "string_too_short":
        return f"{value!r} should be non-empty"
    if type_ == "string_pattern_mismatch":
        return _say_pattern(error["input"], context["pattern"], schema)
    if error["loc"] and error["loc"][-1] == "[key]":
        return f"{error['input']!r} is not of type string"
    types = _types(schema, root)
    return f"{_show(value)} is not of type {' or '.join(types)}{_hint(value, types, schema, root)}"


def _types(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:
    options = (_resolve(one, root) for one in schema.get("anyOf", [schema]))
    return [str(one.get("type", "object")) for one in options]


def _say_pattern(value: str, pattern: str, schema: Mapping[str, Any]) -> str:
    if re.sub(r"[\^$]|\\Z", "", pattern) == NAME:
        return f"{_show(value)} is no name for files and tables{_as_name(value)}"
    examples = schema.get("examples", ()) if schema.get("pattern") == pattern else ()
    return f"{value!r} does not match {pattern}" + "".join(
        f"; write it like {example}" for example in examples
    )


def _show(value: Any) -> str:
    """Show a value, of a long one the beginning."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _hint(
    value: Any, types: Sequence[str], schema: Mapping[str, Any], root: Mapping[str, Any]
) -> str:
    """Say how a value of another type would be written as it is expected."""
    is_plain = isinstance(value, str | int | float)
    if types in (["integer"], ["number"]) and isinstance(value, list):
        return "; it is one value here, not a list"
    if types == ["array"] and is_plain:
        blocks = "kind" in _resolve(schema["items"], root).get("properties", ())
        if blocks:
            return f"; write a list of blocks: [{{kind: {value}, …}}]"
        return f"; write a list: [{_show(value).strip(chr(39))}]"
    if types == ["boolean"] and is_plain:
        return "; write true or false"
    if types == ["string"] and is_plain and schema.get("format") == "path":
        # After --config quotes are of no use, and 2024_06 is 202406 by now.
        return (
            "; YAML takes it for something else: write it in quotes, or, after --config, with ./ "
            "before it"
        )
    if types == ["string"] and is_plain:
        return f"; YAML takes it for something else: write '{value}', in quotes"
    return _as_number(value) if "number" in types or "integer" in types else ""


def _as_name(value: str) -> str:
    """Say what a name looks like, and how the one that was meant would be written."""
    plain = re.sub(r"[^a-z0-9]+", "_", value.lower()).strip("_")[:LONGEST]
    like = plain if re.fullmatch(NAME, plain) else "a_name"
    return f": small letters (a to z), digits and _, a letter first; write it like {like}"


def _as_number(value: Any) -> str:
    """Explain YAML's surprise: 1e-3 is a string, 0.001 and 1.0e-3 are numbers."""
    if isinstance(value, str) and "/" in value and isinstance(read_fraction(value), str):
        return "; a fraction is one number over another that is not 0, such as 8/255"
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f" (a string in YAML; write {spell(number)})" if math.isfinite(number) else ""
