"""The grid of cells: from the configuration to cells to the wildcards of paths, and back.

Imports neither torch nor numpy: the DAG, the package and the tests share it.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

# What the attacker knows beside the model: nothing of the filter, or all of it.
BLIND, AWARE = THREATS = ("blind", "aware")
NO_FILTER = "none"
FIXED = "fixed"

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


def levels(block: dict[str, Any], swept: str | None) -> list[Level]:
    """List the levels of a configuration block, in its order."""
    if swept is None:
        return [FIXED_LEVEL]
    return [Level(swept, value) for value in block[swept]]


def cells(config: dict[str, Any]) -> Iterator[Cell]:
    """List all cells of a validated configuration, in its order.

    Every adversarial set is also scored without a filter, which is blind: there is no filter to
    be aware of.
    """
    from epsigma.attacks import ATTACKS
    from epsigma.filters import FILTERS
    from epsigma.kinds import find

    for dataset in config["datasets"]:
        for model in config["models"]:
            for seed in config["seeds"]:
                for threat in THREATS:
                    for attack in config["attacks"]:
                        if not is_for(attack, model["name"]):
                            continue
                        if _is_its_own_source(attack, model["name"], seed):
                            continue
                        for filter_ in filters_of(config, threat, attack):
                            if not is_for(filter_, model["name"]):
                                continue
                            for budget, strength in product(
                                levels(attack, find(ATTACKS, attack["kind"]).swept),
                                levels(filter_, find(FILTERS, filter_["kind"]).swept),
                            ):
                                yield Cell(
                                    dataset["name"],
                                    model["name"],
                                    seed,
                                    threat,
                                    attack["name"],
                                    budget,
                                    filter_["name"],
                                    strength,
                                )


def filters_of(
    config: dict[str, Any], threat: str, attack: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """List the blocks of the filters that an attack meets under a threat, `none` among them."""
    if threat == BLIND:
        yield {"kind": NO_FILTER, "name": NO_FILTER}
    names = attack.get("filters")
    for block in config["filters"]:
        is_met = names is None or block["name"] in names
        if is_met and threat in attack["threats"] and threat in block["threats"]:
            yield block


def is_for(block: Mapping[str, Any], model: str) -> bool:
    """Whether an attack or a filter is for a model; one whose training is swept has many names."""
    names = block.get("models")
    return names is None or model in names or model.partition("/")[0] in names


def source_of(attack: dict[str, Any], model: str, seed: int) -> tuple[str, int]:
    """Say which model and seed an attack's sets are made on, to be scored on `model`, `seed`.

    The same, unless the attack is a transfer.
    """
    if attack["kind"] != "transfer":
        return model, seed
    source_model, source_seed = attack["source_model"], attack["source_seed"]
    return (
        model if source_model is None else source_model,
        seed if source_seed is None else source_seed,
    )


def _is_its_own_source(attack: dict[str, Any], model: str, seed: int) -> bool:
    """Whether a transfer would be a white-box attack."""
    return attack["kind"] == "transfer" and source_of(attack, model, seed) == (model, seed)


def cell_seed(wildcards: dict[str, str]) -> int:
    """Seed a cell's random numbers from its identity: 63 bits, the same on every machine."""
    text = "/".join(f"{name}={value}" for name, value in sorted(wildcards.items()))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
