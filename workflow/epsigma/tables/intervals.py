"""Intervals: of rates, of differences of rates, and of the area under a curve."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95


def wilson(count: Any, trials: Any) -> tuple[Any, Any]:
    """Compute the bounds of Wilson's interval (1927), 95 %, of a share: numbers, or columns.

    Rounded where rounding errors begin: a bound of 0 is 0, not 4e-18.
    """
    low, high = proportion_confint(count, trials, 1 - CONFIDENCE, method="wilson")
    return np.round(low, 12), np.round(high, 12)


def add_rate(table: pd.DataFrame, rate: str, count: str, trials: str = "n") -> pd.DataFrame:
    """Add to a table a rate and the bounds of its Wilson interval; all empty without trials.

    The rate is a share of the column `trials`; returns the table itself.
    """
    successes = table[count].astype(float)
    of = table[trials].astype(float).where(table[trials] > 0)
    table[rate] = successes / of
    table[f"{rate}_low"], table[f"{rate}_high"] = wilson(successes, of)
    return table


def with_bounds(*rates: str) -> list[str]:
    """Name the columns of rates and of their bounds."""
    return [f"{rate}{bound}" for rate in rates for bound in ("", "_low", "_high")]


def agresti_min(
    more: NDArray[np.float64],
    less: NDArray[np.float64],
    n: NDArray[np.float64],
    confidence: float = CONFIDENCE,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bound the difference of two rates on the same examples.

    Of `n` pairs in `more` only the first is true, in `less` only the second.

    Returns:
        Lower and upper bounds, in [-1, 1]: Wald's, after half a pair was added to each of the four
        counts (Agresti & Min 2005, Statistics in Medicine 24:729, section 3).
    """
    b, c, total = more + 0.5, less + 0.5, n + 2
    difference = (b - c) / total
    half = norm.ppf(0.5 + confidence / 2) * np.sqrt((b + c) / total - difference**2)
    half = half / np.sqrt(total)
    return np.maximum(difference - half, -1), np.minimum(difference + half, 1)


def delong(
    clean: NDArray[np.float32], attacked: NDArray[np.float32], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Estimate the area under the characteristic of scores, clean (N,) and attacked (M,).

    Returns:
        The probability that an attacked image scores above a clean one, ties counting half, and
        the bounds of its interval (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837), cut to
        [0, 1]; NaN without images of either sort.
    """
    if not len(clean) or not len(attacked):
        return float("nan"), float("nan"), float("nan")
    ascending, others = np.sort(clean), np.sort(attacked)
    # Of each image, how often it is placed rightly among those of the other sort.
    below, upto = (np.searchsorted(ascending, attacked, side=side) for side in ("left", "right"))
    of_attacked = (below + upto) / (2 * len(clean))
    below, upto = (np.searchsorted(others, clean, side=side) for side in ("left", "right"))
    of_clean = 1 - (below + upto) / (2 * len(attacked))
    mean = float(of_attacked.mean())
    variance = sum(
        float(part.var(ddof=1)) / len(part) for part in (of_attacked, of_clean) if len(part) > 1
    )
    half = float(norm.ppf(0.5 + confidence / 2)) * variance**0.5
    return mean, max(0.0, mean - half), min(1.0, mean + half)
