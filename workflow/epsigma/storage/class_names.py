"""Names of classes, by their numbers, in the metadata of files that number classes."""

import json
from collections.abc import Mapping, Sequence

KEY = "class_names"


def encode_names(names: Sequence[str]) -> dict[str, str]:
    """Make metadata of names; none of no names, so that a file without them stays what it was."""
    return {KEY: json.dumps(list(names), ensure_ascii=False)} if names else {}


def decode_names(metadata: Mapping[str, str]) -> list[str]:
    """Read names back out of metadata; no names if there are none."""
    return [str(name) for name in json.loads(metadata.get(KEY, "[]"))]


def name_class(names: Sequence[str], number: int) -> str:
    """Return the name of a class, or its number if it has none."""
    return names[number] if 0 <= number < len(names) else str(number)
