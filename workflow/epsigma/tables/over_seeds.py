"""`seeds.csv`: rates of other tables over several seeds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from epsigma.cell import FIXED_LEVEL
from epsigma.tables import attacks, robust, smallest, smoothed, worst_case
from epsigma.tables.scores import Scores
from epsigma.tables.seeds import COLUMNS, KEYS, Outcome, Outcomes, key_of, pool_seeds
from epsigma.vocabulary import NO_FILTER


def tabulate_seeds(scores: Scores) -> pd.DataFrame:
    """Condense over the seeds the rates of tables that have a row a seed.

    Returns:
        A row a `table`, `rate` (a column of it; `aware_test` and `blind_test` of `robust` are of
        the images that choose no strength) and what it is of; how many `seeds`; `n`, images that
        count; the `mean` over the seeds, the standard deviation over them, `std`, and the interval
        of the mean, `low` and `high`, clustered by image (`pool_seeds`). No rows with one seed.
    """
    found: dict[tuple[str, ...], tuple[dict[str, Any], list[Outcome]]] = {}
    for table, list_outcomes in _TABLES.items() if scores.has_several_seeds else ():
        for columns, rate, outcome in list_outcomes(scores):
            where = {"table": table, "rate": rate, **{name: columns.get(name) for name in KEYS}}
            found.setdefault(key_of(where), (where, []))[1].append(outcome)
    rows = []
    for where, outcomes in found.values():
        pooled = pool_seeds(outcomes)
        rows.append({**where, "seeds": len(outcomes), **vars(pooled)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _list_cells(scores: Scores) -> Outcomes:
    """List the outcomes of `cells.csv`; those of fooling images have no success."""
    for cell, scored in scores.cells.items():
        yield cell.columns, "accuracy", Outcome.of_images(scored.index, ~scored.fooled)
        clean = scores.clean.get((cell.dataset, cell.model, cell.seed, NO_FILTER, FIXED_LEVEL))
        if clean is not None and not scores.attacks[cell.attack].is_fooling:
            is_right = np.isin(scored.index, clean.index[~clean.fooled])
            counts = is_right.astype(np.int64)
            success = Outcome(scored.index, counts * scored.fooled, counts)
            yield cell.columns, "attack_success", success


# By table what it has rates of.
_TABLES: dict[str, Callable[[Scores], Outcomes]] = {
    "cells": _list_cells,
    "attacks": attacks.list_outcomes,
    "worst_case": worst_case.list_outcomes,
    "fallen": smallest.list_outcomes,
    "smoothed": smoothed.list_outcomes,
    "robust": robust.list_outcomes,
}
