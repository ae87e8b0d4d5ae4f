"""`proofs.csv`: what is proved of each defended model, held against the examples of all attacks."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.proofs.exact import SAFE
from epsigma.tables.scores import Defence, Scores, defence_of
from epsigma.vocabulary import widen

COLUMNS = [
    *("dataset", "model", "seed", "filter", "strength_name", "strength", "budget_name", "budget"),
    *("n", "n_proved", "n_fooled", "n_contradicted"),
]


def tabulate_proofs(scores: Scores) -> pd.DataFrame:
    """Count the images that are proved safe, and those that an example in the ball fools.

    Whatever an attack knows, bounds or minimises: an example that fools the defended model is held
    against every proof of a ball that it is in.

    Returns:
        The columns `COLUMNS`, a row a defended model and ε of the proofs: of `n` images `n_proved`,
        safe by a bound or an exact answer; `n_fooled`, that some attack fools at an ℓ∞ distance of
        at most ε, but for what `in_ball` forgives; and `n_contradicted`, both.
    """
    nearest = _find_nearest(scores)
    rows = []
    for (defence, budget), of in scores.proofs.items():
        dataset, model, seed, name, strength = defence
        is_proved = of["certified"] | (of["status"] == SAFE)
        is_fooled = nearest[defence] <= widen(budget.value or 0.0)
        rows.append(
            {
                **{"dataset": dataset, "model": model, "seed": seed, "filter": name},
                **{"strength_name": strength.name, "strength": strength.value},
                **{"budget_name": budget.name, "budget": budget.value},
                "n": len(is_proved),
                "n_proved": int(is_proved.sum()),
                "n_fooled": int(is_fooled.sum()),
                "n_contradicted": int((is_proved & is_fooled).sum()),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _find_nearest(scores: Scores) -> dict[Defence, NDArray[np.float64]]:
    """Find the smallest ℓ∞ distance at which each test image fools a defended model; (N,) each."""
    nearest = {
        defence: np.full(len(of["index"]), np.inf) for (defence, _), of in scores.proofs.items()
    }
    for cell in scores.cells:
        if defence_of(cell) in nearest and not scores.attacks[cell.attack].is_fooling:
            ledger = scores.ledger(cell)
            is_fooled = ~ledger["correct"]
            at, moved = ledger["index"][is_fooled], ledger["linf"][is_fooled]
            np.minimum.at(nearest[defence_of(cell)], at, moved)
    return nearest
