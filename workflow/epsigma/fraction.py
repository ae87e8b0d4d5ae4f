"""Numbers that a configuration writes as fractions, `8/255`: YAML reads them as strings."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import ValidationError

# Faults that pydantic finds where it wants a number.
NUMBER_WANTED = ("float_type", "int_type")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"


def read_fraction(text: str) -> str | float:
    """Read `a/b` as the number that Python's division gives, an integer where it is one.

    >>> read_fraction("8/255"), read_fraction("4/2"), read_fraction("8/0")
    (0.03137254901960784, 2, '8/0')

    Returns:
        What is no fraction, as it is.
    """
    found = re.fullmatch(rf"\s*({_NUMBER})\s*/\s*({_NUMBER})\s*", text, re.ASCII)
    if not found or float(found[2]) == 0:
        return text
    number = float(found[1]) / float(found[2])
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number


def validate_fractions(value: Any, handler: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Validate a value; where numbers are wanted, fractions are read.

    Returns:
        The value with numbers in place of its fractions, and what the handler makes of it.

    Raises:
        ValidationError: from the handler.
    """
    try:
        return value, handler(value)
    except ValidationError as error:
        places = [one["loc"] for one in error.errors() if one["type"] in NUMBER_WANTED]
        value = read_fractions(value, places)
        return value, handler(value)


def read_fractions(value: Any, places: Iterable[Sequence[Any]]) -> Any:
    """Copy a value, with the fractions at some places in it read: indices of lists in lists."""
    for place in places:
        value = _read_at(value, place)
    return value


def _read_at(value: Any, place: Sequence[Any]) -> Any:
    if isinstance(value, str):
        return read_fraction(value)
    if not place or not isinstance(value, list) or not isinstance(place[0], int):
        return value
    index = place[0]
    return [*value[:index], _read_at(value[index], place[1:]), *value[index + 1 :]]
