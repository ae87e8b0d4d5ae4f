"""`attacks.csv`: all attacks on a model side by side, on the same images."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from epsigma.cell import CELL_COLUMNS, Cell
from epsigma.tables.intervals import add_rate
from epsigma.tables.scores import Scores
from epsigma.tables.seeds import Outcome, Outcomes
from epsigma.vocabulary import NO_FILTER


def score_attacks(scores: Scores) -> pd.DataFrame:
    """Score the attacks without a filter on the images that all of a norm have.

    Attacks may have different `examples`, and on other images an attack may seem weaker, or
    stronger, than it is. Where all have the same images the accuracy is that of `cells.csv`.

    Returns:
        A row a cell without a filter whose attack has a norm: `norm`; `examples`, the images that
        the attack has itself; of the `n` that all have, the `n_correct`, and `accuracy` with its
        Wilson interval.
    """
    rows = [
        {
            **columns,
            "examples": examples,
            "n": len(outcome.index),
            "n_correct": int(outcome.successes.sum()),
        }
        for columns, examples, outcome in _find_common(scores)
    ]
    names = [*CELL_COLUMNS, "norm", "examples", "n", "n_correct"]
    return add_rate(pd.DataFrame(rows, columns=names), "accuracy", "n_correct")


def list_outcomes(scores: Scores) -> Outcomes:
    """List what became of the images, for `epsigma.tables.over_seeds`."""
    for columns, _, outcome in _find_common(scores):
        yield columns, "accuracy", outcome


def _find_common(scores: Scores) -> Iterator[tuple[dict[str, Any], int, Outcome]]:
    """List cells, how many images they have, and what became of the common ones."""

    def find_group(cell: Cell) -> tuple[Any, ...] | None:
        norm = scores.attacks[cell.attack].norm
        return (cell.dataset, cell.model, norm) if norm and cell.filter == NO_FILTER else None

    for cell, scored in scores.on_common_examples(find_group).items():
        outcome = Outcome.of_images(scored.index, ~scored.fooled)
        columns = {**cell.columns, "norm": scores.attacks[cell.attack].norm}
        yield columns, len(scores.cells[cell].index), outcome
