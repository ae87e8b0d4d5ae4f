"""The grid of cells: from the configuration to cells to the wildcards of paths, and back.

Imports neither torch nor numpy: the DAG, the package and the tests share it.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from epsigma.cell import FIXED_LEVEL, Cell, Level
from epsigma.vocabulary import BLIND, NO_FILTER, THREATS


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
    from epsigma.kinds import find
    from epsigma.registry.attacks import ATTACKS
    from epsigma.registry.filters import FILTERS

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
