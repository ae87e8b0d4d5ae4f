"""Implementations, imported by their name."""

import importlib
from collections.abc import Callable
from typing import Any


def load(implementation: str) -> Callable[..., Any]:
    """Import `package.module:name` and return what it names.

    Raises:
        ImportError: if there is no such module, or no such name in it.
    """
    where, _, name = implementation.partition(":")
    module = importlib.import_module(where)
    if not hasattr(module, name):
        raise ImportError(f"{where} has no {name!r}")
    found: Callable[..., Any] = getattr(module, name)
    return found
