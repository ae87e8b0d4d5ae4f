"""`paired.csv`: each cell and those it ought to be compared with, on the same examples."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from epsigma.cell import CELL_COLUMNS, FIXED_LEVEL, Cell
from epsigma.tables.intervals import agresti_min
from epsigma.tables.scores import Scored, Scores, budget_of, defence_of, on_common_examples
from epsigma.vocabulary import (
    AWARE,
    BLIND,
    GRADIENT_BASED,
    ITERATIVE,
    NO_FILTER,
    NOISE,
    SINGLE_STEP,
    TRANSFER,
    is_white_box,
)


def compare_cells(scores: Scores) -> pd.DataFrame:
    """Compare each cell with those that it ought to be compared with, on the same examples.

    What detectors reject is wrong at a budget of 0 and right at others, so these two are not
    compared where there are detectors.

    Returns:
        The cell; `against`, one of `none` (the same attack without the filter, blind), `blind`
        (the attacker who doesn't know the filter), `clean` (for a budget of 0), `smaller_budget`,
        `single_step`, `transfer`, `noise` (of the same norm and budget), and `other`, the other
        cell's attack or budget; `n`; `only_this` and `only_other`, the examples that only one of
        them misclassifies; `largest_change`, by which the logit margin of an example differs,
        and `largest_margin`, the largest magnitude that the other cell has;
        `difference`, of the error rates, this minus other, with a 95 % interval
        (`difference_low`, `difference_high`; Agresti & Min 2005) and McNemar's `p_value` (exact,
        two-sided).
    """
    smaller = _next_smaller(scores)
    rows = []
    for cell, this in scores.cells.items():
        for against, name, other in _comparisons(scores, cell, smaller.get(cell)):
            found = _compare(this, other)
            # Of attacks on different examples there may be nothing to compare.
            if found["n"]:
                rows.append({**cell.columns, "against": against, "other": name, **found})
    counted = ["n", "only_this", "only_other", "largest_change", "largest_margin"]
    columns = [*CELL_COLUMNS, "against", "other", *counted]
    table = pd.DataFrame(rows, columns=columns)
    more, less = table["only_this"].to_numpy(float), table["only_other"].to_numpy(float)
    n = table["n"].to_numpy(float)
    table["difference"] = (more - less) / n
    table["difference_low"], table["difference_high"] = agresti_min(more, less, n)
    discordant = more + less
    table["p_value"] = np.minimum(1, 2 * binom.cdf(np.minimum(more, less), discordant, 0.5))
    return table


def _compare(this: Scored, other: Scored) -> dict[str, Any]:
    """Compare two cells on the examples that both have."""
    this, other = on_common_examples([this, other])
    change = np.abs(this.margin - other.margin)
    return {
        "n": len(change),
        "only_this": int((this.fooled & ~other.fooled).sum()),
        "only_other": int((other.fooled & ~this.fooled).sum()),
        "largest_change": float(change.max(initial=0)),
        "largest_margin": float(np.abs(other.margin).max(initial=0)),
    }


def _comparisons(
    scores: Scores, cell: Cell, smaller: Cell | None
) -> Iterator[tuple[str, str, Scored]]:
    """List what a cell is compared with: `against`, `other`, and what became of its examples."""
    for against, other in _other_threats_and_attacks(scores, cell):
        yield against, other.attack, scores.cells[other]
    if smaller and (budget_of(smaller) or cell.filter not in scores.detectors):
        yield "smaller_budget", str(smaller.budget), scores.cells[smaller]
    if scores.attacks[cell.attack].norm and cell.budget.value == 0:
        yield "clean", "", scores.clean[defence_of(cell)]


def _other_threats_and_attacks(scores: Scores, cell: Cell) -> Iterator[tuple[str, Cell]]:
    """List the cells of other threats and attacks that a cell is compared with."""
    own, cells = scores.attacks[cell.attack], scores.cells
    if cell.filter != NO_FILTER:
        yield "none", replace(cell, threat=BLIND, filter=NO_FILTER, strength=FIXED_LEVEL)
    twin = replace(cell, threat=BLIND)
    if cell.threat == AWARE and twin in cells:
        yield "blind", twin
    for name, attack in scores.attacks.items():
        if own.norm is None or attack.norm != own.norm or name == cell.attack:
            continue
        same, unaware = replace(cell, attack=name), replace(twin, attack=name)
        knows = is_white_box(cell.threat, cell.filter)
        # Through a filter that neither knows, a single step can be the better guess.
        if knows and (own.family, attack.family) == (ITERATIVE, SINGLE_STEP) and same in cells:
            yield SINGLE_STEP, same
        is_stronger = knows and own.family in GRADIENT_BASED
        is_source = attack.family == TRANSFER and attack.source == cell.attack
        if unaware in cells and (
            (attack.family == NOISE and (is_stronger or own.family == TRANSFER))
            or (is_source and is_stronger)
        ):
            yield attack.family, unaware


def _next_smaller(scores: Scores) -> dict[Cell, Cell]:
    """Find the cell of the next smaller budget of the same curve."""
    return {
        cell: smaller
        for curve, cells in scores.curves().items()
        # A fooling image is judged by its own budget, the confidence.
        if not scores.attacks[curve.attack].is_fooling
        for smaller, cell in pairwise(cells)
    }
