"""The entries of the registries: what a configuration may name, and where it lives."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of data set, model, attack or filter.

    Args:
        implementation: where it lives, as `package.module:name`. It is imported only by the job
            that runs it.
        swept: the hyper-parameter that the configuration lists and the paths spell, such as
            `eps`; None if there is nothing to sweep.
        parameters: each hyper-parameter's JSON schema, in the order of the documentation. One
            with a `default` may be left out of the configuration.
    """

    implementation: str
    swept: str | None = None
    parameters: Mapping[str, Schema] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return self.implementation.partition(":")[0]


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
