"""`detectors.csv` and `roc.csv`: how well each detector tells attacked images from clean ones.

Attacked images are those of `find_successes`; clean ones are all of the test set.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from epsigma.cell import CELL_COLUMNS, Cell
from epsigma.detectors.rate import count_allowed
from epsigma.storage.ledgers import REJECTS, SCORE
from epsigma.tables.intervals import add_rate, area_under_curve, count_independent, with_bounds
from epsigma.tables.scores import Columns, Scores, defence_of
from epsigma.vocabulary import AWARE

# False positive rates at which a curve is drawn: logarithmic from one in 10,000, and all the rest.
RATES = np.unique(np.concatenate([np.logspace(-4, 0, 81), np.linspace(0, 1, 101)]))


def tabulate_detectors(scores: Scores) -> pd.DataFrame:
    """Tabulate how well each detector tells attacked images from clean ones.

    Returns:
        A row a cell and detector: where it is; `detector`; of the `n_clean` the
        `n_false_positive` that it rejects at its threshold, of the `n_attacked` the
        `n_true_positive`; `area` under the curve with its 95 % interval (`area_under_curve`),
        blank of one image; and the rates `false_positive` and `true_positive`, with Wilson
        intervals, the latter's of `count_independent` trials.
    """
    areas, found = with_bounds("area"), [*_by_detector(scores)]
    rows = [
        {
            **cell.columns,
            "detector": detector,
            "n_clean": len(clean[SCORE]),
            "n_false_positive": int(clean[REJECTS].sum()),
            "n_attacked": len(attacked[SCORE]),
            "n_true_positive": int(attacked[REJECTS].sum()),
            **dict(zip(areas, area_under_curve(clean[SCORE], attacked[SCORE]), strict=True)),
        }
        for cell, detector, clean, attacked in found
    ]
    counts = ["n_clean", "n_false_positive", "n_attacked", "n_true_positive"]
    columns = [*CELL_COLUMNS, "detector", *counts, *areas]
    table = pd.DataFrame(rows, columns=columns)
    add_rate(table, "false_positive", "n_false_positive", "n_clean")
    trials = [count_independent(one[REJECTS], one["index"]) for *_, one in found]
    independent = pd.Series(trials, dtype=float)
    return add_rate(
        table, "true_positive", "n_true_positive", "n_attacked", independent=independent
    )


def tabulate_roc(scores: Scores) -> pd.DataFrame:
    """Tabulate the receiver operating characteristic of each detector.

    Returns:
        A row a cell, detector and point of its curve: `false_positive_rate` and
        `true_positive_rate`. No curve where no image fools what `find_successes` says.
    """
    rates = ("false_positive_rate", "true_positive_rate")
    rows = [
        {**cell.columns, "detector": detector, **dict(zip(rates, point, strict=True))}
        for cell, detector, clean, attacked in _by_detector(scores)
        if len(attacked[SCORE])
        for point in zip(*roc(clean[SCORE], attacked[SCORE]), strict=True)
    ]
    return pd.DataFrame(rows, columns=[*CELL_COLUMNS, "detector", *rates])


def _by_detector(scores: Scores) -> Iterator[tuple[Cell, str, Columns, Columns]]:
    """List cells and detectors; of clean and of attacked images what is `SCORE` and `REJECTS`.

    Of attacked ones also their `index`.
    """
    for cell in scores.cells_with_detectors():
        columns, clean = scores.ledger(cell), scores.clean_ledgers[defence_of(cell)]
        fooling = find_successes(columns, cell.threat)
        for detector in detectors_of(columns):
            names = {of: f"{of}{detector}" for of in (SCORE, REJECTS)}
            attacked = {of: columns[name][fooling] for of, name in names.items()}
            attacked["index"] = columns["index"][fooling]
            yield cell, detector, {of: clean[name] for of, name in names.items()}, attacked


def detectors_of(columns: Columns) -> list[str]:
    """Name the detectors whose scores a ledger has."""
    return [name.removeprefix(SCORE) for name in columns if name.startswith(SCORE)]


def find_successes(columns: Columns, threat: str) -> NDArray[np.bool_]:
    """Mark the rows that fool the classifier, of examples that it gets right alone when clean.

    A blind attacker aims at the classifier alone, an aware one at that behind its filter.
    """
    behind = columns["prediction"] == columns["label"]
    right = behind if threat == AWARE else columns["correct_bare"]
    found: NDArray[np.bool_] = columns["correct_clean"] & ~right
    return found


def roc(
    clean: NDArray[np.float32], attacked: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the receiver operating characteristic of scores, clean (N,) and attacked (M,).

    Returns:
        False and true positive rates, at each of `RATES` that differ: the shares that score above
        the smallest threshold whose false positive rate is at most that.
    """
    descending = np.sort(clean)[::-1]
    limits = np.append(descending, -np.inf)[count_allowed(RATES, len(clean))]
    ascending, others = np.sort(clean), np.sort(attacked)
    false = 1 - np.searchsorted(ascending, limits, side="right") / len(clean)
    true = 1 - np.searchsorted(others, limits, side="right") / max(1, len(attacked))
    points = np.unique(np.stack([false, true], 1), axis=0)
    return points[:, 0], points[:, 1]
