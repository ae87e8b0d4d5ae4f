"""A cell, its levels, and how both are spelled in paths."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from epsigma.vocabulary import FIXED

NAME = r"[a-z][a-z0-9_]*"
NUMBER = r"(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?"
LEVEL = rf"(?:[a-z_]+~{NUMBER}|{FIXED})"
# A model whose training is swept is one of several, each with its level.
MODEL = rf"{NAME}(?:/[a-z_]+~{NUMBER})?"


def spell(value: float) -> str:
    """Write a number in its one spelling: decimal, no exponent, no trailing zeros.

    >>> spell(0.10), spell(1.0), spell(1e-5)
    ('0.1', '1', '0.00001')
    """
    # + 0.0 makes 0 of -0.
    text = format(Decimal(repr(float(value) + 0.0)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class Level:
    """How strong an attack or a filter is: a swept hyper-parameter and its value.

    Attacks and filters with nothing to sweep have the level `FIXED_LEVEL`.
    """

    name: str | None
    value: float | None

    def __str__(self) -> str:
        """Spell it as paths do: `eps~0.1`, or `fixed`."""
        return FIXED if self.value is None else f"{self.name}~{spell(self.value)}"

    @classmethod
    def parse(cls, text: str) -> "Level":
        """Read a level as `str` writes it.

        Raises:
            ValueError: if the spelling is another, such as `eps~0.10`.
        """
        if text == FIXED:
            return FIXED_LEVEL
        name, _, number = text.partition("~")
        level = cls(name, float(number)) if re.fullmatch(LEVEL, text) else FIXED_LEVEL
        if level.value is None or math.isinf(level.value) or str(level) != text:
            raise ValueError(f"{text!r} is not a name, ~ and a number in its shortest spelling")
        return level

    @property
    def parameters(self) -> dict[str, float]:
        """The hyper-parameter by keyword; empty if there is nothing to sweep."""
        return {} if self.name is None or self.value is None else {self.name: self.value}


FIXED_LEVEL = Level(None, None)


@dataclass(frozen=True)
class Cell:
    """One cell of the grid: a filter at one strength against an attack at one budget."""

    dataset: str
    model: str
    seed: int
    threat: str
    attack: str
    budget: Level
    filter: str
    strength: Level

    @property
    def wildcards(self) -> dict[str, str]:
        """The cell as the wildcards of its paths."""
        return {name: str(value) for name, value in vars(self).items()}

    @classmethod
    def from_wildcards(cls, wildcards: Mapping[str, str]) -> "Cell":
        """Read a cell as `wildcards` writes it.

        Raises:
            KeyError: if a wildcard is missing.
            ValueError: if the seed is no number, or a level has another spelling.
        """
        values: dict[str, Any] = {field.name: wildcards[field.name] for field in fields(cls)}
        values["seed"] = int(values["seed"])
        for name in ("budget", "strength"):
            values[name] = Level.parse(values[name])
        return cls(**values)

    @property
    def columns(self) -> dict[str, Any]:
        """The cell as columns of a table: a level is its name and its value."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "seed": self.seed,
            "threat": self.threat,
            "attack": self.attack,
            "budget_name": self.budget.name,
            "budget": self.budget.value,
            "filter": self.filter,
            "strength_name": self.strength.name,
            "strength": self.strength.value,
        }


# The columns of tables that say which cell a row is of.
CELL_COLUMNS = tuple(Cell("", "", 0, "", "", FIXED_LEVEL, "", FIXED_LEVEL).columns)


def cell_seed(wildcards: dict[str, str]) -> int:
    """Seed a cell's random numbers from its identity: 63 bits, the same on every machine."""
    text = "/".join(f"{name}={value}" for name, value in sorted(wildcards.items()))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
