"""The grid of cells: every attack at every budget through every filter at every strength."""

from collections.abc import Iterator
from itertools import product

from epsigma.cell import Cell, Level
from epsigma.study.blocks import NONE, Attack, Filter
from epsigma.study.references import source_of
from epsigma.study.schema import Study
from epsigma.vocabulary import BLIND, THREATS


def cells(study: Study) -> Iterator[Cell]:
    """List all cells of a study, in the configuration's order.

    Every adversarial set is also scored without a filter, which is blind: there is no filter to
    be aware of. A transfer has no cells on its own source: it would be a white-box attack.
    """
    models = product(study.names("datasets"), study.names("models"), study.seeds)
    for (dataset, model, seed), threat, attack in product(models, THREATS, study.attacks):
        is_own_source = "source_model" in attack.hyperparameters and (
            source_of(attack, model, seed) == (model, seed)
        )
        if not (attack.is_for_dataset(dataset) and attack.is_for(model)) or is_own_source:
            continue
        for block, strengths in filters_of(study, threat, attack):
            if block.is_for(model):
                for budget, strength in product(attack.levels, strengths):
                    yield Cell(
                        dataset, model, seed, threat, attack.name, budget, block.name, strength
                    )


def filters_of(study: Study, threat: str, attack: Attack) -> Iterator[tuple[Filter, list[Level]]]:
    """List the filters that an attack meets under a threat, `none` too, each with its strengths."""
    if threat == BLIND:
        yield NONE, NONE.levels
    for block in study.filters:
        if threat in attack.threats and threat in block.threats:
            yield block, attack.strengths_of(block)
