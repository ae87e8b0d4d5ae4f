"""Intervals: of rates, of differences of rates, and of the area under a curve."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95
# So near 0 or 1 an area is within the interval of one that is.
_NEAR = 1e-9


def wilson(count: Any, trials: Any) -> tuple[Any, Any]:
    """Compute the bounds of Wilson's interval (1927), 95 %, of a share: numbers, or columns.

    Rounded where rounding errors begin: a bound of 0 is 0, not 4e-18.
    """
    low, high = proportion_confint(count, trials, 1 - CONFIDENCE, method="wilson")
    return np.round(low, 12), np.round(high, 12)


def add_rate(
    table: pd.DataFrame,
    rate: str,
    count: str,
    trials: str = "n",
    independent: "pd.Series[Any] | None" = None,
) -> pd.DataFrame:
    """Add to a table a rate and the bounds of its Wilson interval; all empty without trials.

    The rate is a share of the column `trials`. Where these are not independent, `independent` says
    of each row as how many they count (`count_independent`). Returns the table itself.
    """
    successes = table[count].astype(float)
    of = table[trials].astype(float).where(table[trials] > 0)
    table[rate] = successes / of
    size = of if independent is None else independent.astype(float).where(table[trials] > 0)
    table[f"{rate}_low"], table[f"{rate}_high"] = wilson(successes * (size / of), size)
    return table


def count_independent(hits: NDArray[np.bool_], index: NDArray[np.int32]) -> float:
    """Say as how many independent trials (N,) trials count, of which those of an image are alike.

    Args:
        hits: (N,), what they came to.
        index: (N,), which image each is of.

    Returns:
        N over the design effect, which is the variance of their share between images over that of
        independent trials (Rao & Scott 1992, Biometrics 48:577), and 1 at least. Where all came to
        the same nothing is known of it: then as many as there are images.
    """
    _, image = np.unique(index, return_inverse=True)
    images = int(image.max(initial=-1)) + 1
    if images == len(hits):
        return float(images)
    share = hits.mean()
    if images == 1 or share in (0, 1):
        return float(images)
    beyond = np.bincount(image, hits) - share * np.bincount(image)
    variance = images / (images - 1) * np.square(beyond).sum()
    return float(len(hits) / max(1.0, variance / (len(hits) * share * (1 - share))))


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


def area_under_curve(
    clean: NDArray[np.float32], attacked: NDArray[np.float32], confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """Estimate the area under the characteristic of scores, clean (N,) and attacked (M,).

    Returns:
        The probability that an attacked image scores above a clean one, ties counting half, and
        the bounds of its interval, in [0, 1]; NaN without images of either sort, and the bounds
        with one.

    The interval holds each area from which this one is z standard errors away at most: by Newcombe
    (2006, Statistics in Medicine 25:559, method 5), so that separated scores have one, too. Where
    DeLong's variance (DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837) is larger, as of
    scores in two heaps, Newcombe's, which is of exponential scores, is multiplied up to it.
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
    if min(len(clean), len(attacked)) == 1:
        return mean, float("nan"), float("nan")
    found = sum(float(part.var(ddof=1)) / len(part) for part in (of_attacked, of_clean))
    return mean, *_newcombe(mean, len(clean), len(attacked), found, confidence)


def _newcombe(mean: float, n: int, m: int, found: float, confidence: float) -> tuple[float, float]:
    """Bound an area by Newcombe's method, with a variance at least as large as one found at it."""
    quantile = float(norm.ppf(0.5 + confidence / 2))

    def variance(area: float) -> float:
        others = (1 - area) / (2 - area) + area / (1 + area)
        return area * (1 - area) / (m * n) * (1 + ((m + n) / 2 - 1) * others)

    is_inside = 0 < mean < 1
    factor = quantile**2 * (max(1.0, found / variance(mean)) if is_inside else 1.0)

    def beyond(area: float) -> float:
        return (area - mean) ** 2 - factor * variance(area)

    # At 0 and 1 the variance is 0: an area there has a bound besides itself.
    low = 0.0 if mean == 0 else brentq(beyond, 0, min(mean, 1 - _NEAR))
    high = 1.0 if mean == 1 else brentq(beyond, max(mean, _NEAR), 1)
    return float(low), float(high)
