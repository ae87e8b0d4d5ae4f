"""Which strength of a filter is chosen, and which test images choose it.

The best of several strengths looks better than it is on the images that it was chosen on. So the
test images are split in two: the validation images choose, the others score.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.tables.scores import Bools, Scored, Scores

# Of each class every second image, so that either half has the classes in proportion.
EVERY = 2


def mark_validation(labels: NDArray[np.int16]) -> Bools:
    """Mark the images that choose strengths: of each class every second.

    Args:
        labels: (N,), the classes of the test set's images, in its order.

    Returns:
        (N,), whether an image is a validation image, as the second, the fourth and so on of its
        class is. Neither a seed nor an attack has a say. The only image of a class is none.
    """
    of_class = pd.Series(labels).groupby(labels).cumcount().to_numpy()
    marked: Bools = of_class % EVERY == EVERY - 1
    return marked


def find_validation(scores: Scores) -> dict[str, NDArray[np.int32]]:
    """Find the images of each data set that choose strengths, of its whole test set.

    An attack may be on some of them only: an image chooses for every attack or for none.

    Returns:
        By data set their places in the test set, ascending.
    """
    largest: dict[str, Scored] = {}
    known = [(defence[0], scored) for defence, scored in scores.clean.items()]
    known += [
        (cell.dataset, scored)
        for cell, scored in scores.cells.items()
        if not scores.attacks[cell.attack].is_fooling
    ]
    for dataset, scored in known:
        # The clean images are all that there are.
        if dataset not in largest or len(scored.index) > len(largest[dataset].index):
            largest[dataset] = scored
    return {
        dataset: scored.index[mark_validation(scored.label)] for dataset, scored in largest.items()
    }


def keep_most_attacked(table: pd.DataFrame, attacks: str, of: Sequence[str]) -> pd.DataFrame:
    """Keep, of each filter, the strengths that as many attacks met as any other.

    What only cheap attacks met would look strong.

    Args:
        table: a row a strength (and a seed).
        attacks: the column that counts them; rows where it is empty are kept.
        of: the columns that say which filter a row is of, against what.
    """
    most = table.groupby(list(of), dropna=False)[attacks].transform("max")
    return table[(table[attacks] == most) | most.isna()]


def choose_strengths(table: pd.DataFrame, accuracy: str, of: Sequence[str]) -> pd.DataFrame:
    """Choose, of each filter, the row of the strength with the highest accuracy.

    Of equal ones the smallest strength is chosen, and also where no image chooses, that is, where
    the accuracies are empty.

    Args:
        table: a row a strength.
        accuracy: the column that chooses.
        of: the columns that say which filter a row is of, against what.

    Returns:
        A row for each filter, in the order in which the table first has them.
    """
    keys = list(of)
    ranked = table.sort_values([accuracy, "strength"], ascending=[False, True])
    return table[keys].drop_duplicates().merge(ranked.drop_duplicates(keys), on=keys)


def choose_strength(rows: Sequence[Mapping[Any, Any]], accuracy: str) -> Mapping[Any, Any]:
    """Choose of the rows of one filter as `choose_strengths` does of those of several."""

    def rank(row: Mapping[Any, Any]) -> tuple[bool, float, bool, float]:
        """Put what is empty last."""
        rate, strength = row[accuracy], row["strength"]
        has_none, is_fixed = math.isnan(rate), math.isnan(strength)
        return has_none, 0 if has_none else -rate, is_fixed, 0 if is_fixed else strength

    return min(rows, key=rank)
