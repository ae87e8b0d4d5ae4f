"""`detectors.csv` and `roc.csv`: how well each detector tells attacked images from clean ones.

Attacked images are those that fool the classifier alone, of examples that it gets right when
clean; clean ones are all of the test set.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import CELL_COLUMNS, Cell
from epsigma.storage.ledgers import REJECTS, SCORE
from epsigma.tables.intervals import add_rate, delong
from epsigma.tables.scores import Columns, Scores, defence_of

# False positive rates at which a curve is drawn: logarithmic from one in 10,000, and all the rest.
RATES = np.unique(np.concatenate([np.logspace(-4, 0, 81), np.linspace(0, 1, 101)]))


def tabulate_detectors(scores: Scores) -> pd.DataFrame:
    """Tabulate how well each detector tells attacked images from clean ones.

    Returns:
        A row a cell and detector: where it is; `detector`; of the `n_clean` the
        `n_false_positive` that it rejects at its threshold, of the `n_attacked` the
        `n_true_positive`; `area` under the curve with its 95 % interval (DeLong); and the rates
        `false_positive` and `true_positive`, with Wilson intervals.
    """
    rows = []
    for cell, detector, clean, attacked in _by_detector(scores):
        rejects, score = f"{REJECTS}{detector}", f"{SCORE}{detector}"
        area, low, high = delong(clean[score], attacked[score])
        rows.append(
            {
                **cell.columns,
                "detector": detector,
                "n_clean": len(clean[score]),
                "n_false_positive": int(clean[rejects].sum()),
                "n_attacked": len(attacked[score]),
                "n_true_positive": int(attacked[rejects].sum()),
                "area": area,
                "area_low": low,
                "area_high": high,
            }
        )
    counts = ["n_clean", "n_false_positive", "n_attacked", "n_true_positive"]
    columns = [*CELL_COLUMNS, "detector", *counts, "area", "area_low", "area_high"]
    table = pd.DataFrame(rows, columns=columns)
    add_rate(table, "false_positive", "n_false_positive", "n_clean")
    return add_rate(table, "true_positive", "n_true_positive", "n_attacked")


def tabulate_roc(scores: Scores) -> pd.DataFrame:
    """Tabulate the receiver operating characteristic of each detector.

    Returns:
        A row a cell, detector and point of its curve: `false_positive_rate` and
        `true_positive_rate`. No curve where no image fools the classifier.
    """
    rows = [
        {
            **cell.columns,
            "detector": detector,
            "false_positive_rate": false,
            "true_positive_rate": true,
        }
        for cell, detector, clean, attacked in _by_detector(scores)
        if len(attacked[f"{SCORE}{detector}"])
        for false, true in zip(
            *roc(clean[f"{SCORE}{detector}"], attacked[f"{SCORE}{detector}"]), strict=True
        )
    ]
    columns = [*CELL_COLUMNS, "detector", "false_positive_rate", "true_positive_rate"]
    return pd.DataFrame(rows, columns=columns)


def _by_detector(scores: Scores) -> Iterator[tuple[Cell, str, Columns, Columns]]:
    """List the cells and their detectors, with the ledgers of clean and of attacked images."""
    for cell in scores.cells_with_detectors():
        columns = scores.ledger(cell)
        fooling = find_successes(columns)
        names = detectors_of(columns)
        attacked = {
            name: columns[name][fooling]
            for detector in names
            for name in (f"{SCORE}{detector}", f"{REJECTS}{detector}")
        }
        for detector in names:
            yield cell, detector, scores.clean_ledgers[defence_of(cell)], attacked


def detectors_of(columns: Columns) -> list[str]:
    """Name the detectors whose scores a ledger has."""
    return [name.removeprefix(SCORE) for name in columns if name.startswith(SCORE)]


def find_successes(columns: Columns) -> NDArray[np.bool_]:
    """Mark the rows that fool the classifier alone, of examples that it gets right when clean.

    These are what a detector is there for.
    """
    found: NDArray[np.bool_] = columns["correct_clean"] & ~columns["correct_bare"]
    return found


def roc(
    clean: NDArray[np.float32], attacked: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute a receiver operating characteristic.

    Args:
        clean: scores (N,) of images that ought to pass.
        attacked: scores (M,) of images that ought to be rejected.

    Returns:
        False and true positive rates, at each of `RATES` that differ: the shares that score above
        the smallest threshold whose false positive rate is at most that.
    """
    descending = np.sort(clean)[::-1]
    allowed = np.floor(RATES * len(clean) + 1e-9).astype(int)
    limits = np.append(descending, -np.inf)[allowed]
    ascending, others = np.sort(clean), np.sort(attacked)
    false = 1 - np.searchsorted(ascending, limits, side="right") / len(clean)
    true = 1 - np.searchsorted(others, limits, side="right") / max(1, len(attacked))
    points = np.unique(np.stack([false, true], 1), axis=0)
    return points[:, 0], points[:, 1]
