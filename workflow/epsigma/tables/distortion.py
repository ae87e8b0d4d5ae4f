"""What attacks cost that look for the smallest perturbation, and what fooling images come to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Measures of a perturbation that are compared with the literature's.
MEASURES = ("l2", "changed")

Columns = dict[str, NDArray[Any]]


def distortion(columns: Columns) -> dict[str, Any]:
    """Condense the ledger of an attack that aims at classes, or that keeps its perturbation small.

    Only rows of examples count that the model, unfiltered, gets right when clean.

    Args:
        columns: of a ledger (M rows), see `epsigma.stages.evaluate.evaluate`.

    Returns:
        `n`, the rows, and `n_reached`, those that the model gives the class aimed at (of an
        untargeted attack, any wrong one); of `l2` and `changed` (the share of features) the mean
        over these, as `…_all` over all rows, as `…_best` over examples, each with the reached
        class that was cheapest, and as `…_worst` over examples of which every class was reached,
        each with the dearest; `n_worst`, how many these are. A mean over nothing is NaN.
    """
    right = columns["correct_clean"]
    reached = columns.get("reached", ~columns["correct"])[right]
    index, inverse = np.unique(columns["index"][right], return_inverse=True)
    everywhere = np.ones(len(index), bool)
    np.logical_and.at(everywhere, inverse, reached)
    found: dict[str, Any] = {
        "n": len(reached),
        "n_reached": int(reached.sum()),
        "n_worst": int(everywhere.sum()),
    }
    for name in MEASURES:
        size = columns[name][right].astype(np.float64)
        best, worst = np.full(len(index), np.inf), np.zeros(len(index))
        np.minimum.at(best, inverse[reached], size[reached])
        np.maximum.at(worst, inverse, size)
        found |= {
            name: _mean(size[reached]),
            f"{name}_all": _mean(size),
            f"{name}_best": _mean(best[np.isfinite(best)]),
            f"{name}_worst": _mean(worst[everywhere]),
        }
    return found


def acceptance(columns: Columns) -> list[dict[str, Any]]:
    """Count the fooling images of each class that the model accepts.

    Args:
        columns: of a ledger of fooling images.

    Returns:
        A dict a class: `target`; `n` images; `n_accepted`, named as the target with the confidence
        that was asked for; `n_named`, named so with any; `confidence`, the median probability of
        the class that is named.
    """
    found = []
    for target in np.unique(columns["target"]):
        mine = columns["target"] == target
        found.append(
            {
                "target": int(target),
                "n": int(mine.sum()),
                "n_accepted": int((~columns["correct"][mine]).sum()),
                "n_named": int(columns["reached"][mine].sum()),
                "confidence": float(np.median(columns["probability"][mine])),
            }
        )
    return found


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
