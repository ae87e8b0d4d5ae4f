"""Implementations, imported by their name."""

import importlib
from collections.abc import Callable
from typing import Any


def load(implementation: str) -> Callable[..., Any]:
    """Import `package.module:name` and return what it names.

    Raises:
        ImportError: if there is no such module, or no such name in it.
    """
    module, _, name = implementation.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise ImportError(f"{module} has no {name!r}") from error
    return found
