"""`rivals.csv`: whether the best filter against an attack differs from its rivals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from epsigma.cell import CELL_COLUMNS, FIXED_LEVEL, Cell
from epsigma.tables.intervals import agresti_min
from epsigma.tables.scores import Scored, Scores, on_common_examples
from epsigma.vocabulary import BLIND, NO_FILTER

BEST, NEXT_BEST = "best", "next_best"
COUNTED = ["n", "only_this", "only_other"]


def tabulate_rivals(scores: Scores) -> pd.DataFrame:
    """Compare each cell behind a filter with its rivals: on the same images, pair by pair.

    Cells are rivals if only their filter and its strength differ. The best of them has the highest
    accuracy on the images that all of them have; of equal ones the first of the study. The
    best is chosen on the images that compare it: its lead is rather too large than too small.

    Returns:
        The cell; `against`, `none` (the same attack without a filter), `best`, or, of the best
        itself, `next_best` (the best cell of another filter); `other_filter` and `other_strength`
        (as paths spell it); `n`; `only_this` and `only_other`, the images that only one of them
        gets right; `difference`, of the accuracies, this minus other, with a 95 % interval
        (`difference_low`, `difference_high`; Agresti & Min 2005).
    """
    rows = []
    for cells in _group_rivals(scores):
        common = dict(zip(cells, on_common_examples([scores.cells[c] for c in cells]), strict=True))
        ranked = sorted(cells, key=lambda cell: int(common[cell].fooled.sum()))
        best = ranked[0]
        bare = replace(best, threat=BLIND, filter=NO_FILTER, strength=FIXED_LEVEL)
        for cell in cells:
            compared = {NO_FILTER: bare} if bare in scores.cells else {}
            if cell != best:
                compared[BEST] = best
            elif others := [one for one in ranked if one.filter != best.filter]:
                compared[NEXT_BEST] = others[0]
            for against, other in compared.items():
                pair = on_common_examples([common[cell], scores.cells[other]])
                about = {"against": against, "other_filter": other.filter}
                about["other_strength"] = str(other.strength)
                rows.append({**cell.columns, **about, **_count_discordant(pair)})
    columns = [*CELL_COLUMNS, "against", "other_filter", "other_strength", *COUNTED]
    table = pd.DataFrame(rows, columns=columns)
    table = table[table["n"] > 0]
    more, less, n = (table[name].to_numpy(float) for name in ("only_this", "only_other", "n"))
    table["difference"] = (more - less) / n
    table["difference_low"], table["difference_high"] = agresti_min(more, less, n)
    return table


def _group_rivals(scores: Scores) -> list[list[Cell]]:
    """Group the cells behind filters that differ in filter and strength only."""
    groups: dict[Cell, list[Cell]] = {}
    for cell in scores.cells:
        if cell.filter != NO_FILTER:
            shared = replace(cell, filter=NO_FILTER, strength=FIXED_LEVEL)
            groups.setdefault(shared, []).append(cell)
    return list(groups.values())


def _count_discordant(pair: Sequence[Scored]) -> dict[str, int]:
    """Count the images that only one of two cells gets right."""
    this, other = pair
    return {
        "n": len(this.fooled),
        "only_this": int(np.sum(~this.fooled & other.fooled)),
        "only_other": int(np.sum(this.fooled & ~other.fooled)),
    }
