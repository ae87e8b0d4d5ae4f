"""What detectors make of attacks: what is rejected, what corrected, and what gets through."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from epsigma.storage.ledgers import SCORE

Columns = dict[str, NDArray[Any]]
# What becomes of attacked images, and what the parts of a defence keep of them.
OUTCOMES = (
    *("detected", "corrected", "unharmed", "through"),
    *("detector_alone", "filter_alone", "both"),
)
# False positive rates at which a curve is drawn: logarithmic from one in 10,000, and all the rest.
RATES = np.unique(np.concatenate([np.logspace(-4, 0, 81), np.linspace(0, 1, 101)]))


def outcomes(columns: Columns) -> dict[str, int]:
    """Count what becomes of the rows of an attacked set.

    Args:
        columns: of the ledger of a cell with detectors.

    Returns:
        `n` rows. Each of them is either `n_detected`, rejected; or else `n_corrected`, right,
        where the classifier alone is wrong; `n_unharmed`, right, and the classifier alone is, too;
        or `n_through`, wrong. And what the parts would keep alone: `n_detector_alone`, rejected or
        right without the filter; `n_filter_alone`, right through the filter, whatever the detectors
        say; `n_both`, rejected or right through the filter. An image that the attack left as it was
        is kept only if it is not rejected.
    """
    rejected = columns["rejected"]
    stopped = rejected & (columns["linf"] != 0)
    right, bare = columns["prediction"] == columns["label"], columns["correct_bare"]
    return {
        "n": len(right),
        "n_detected": int(rejected.sum()),
        "n_corrected": int((~rejected & right & ~bare).sum()),
        "n_unharmed": int((~rejected & right & bare).sum()),
        "n_through": int((~rejected & ~right).sum()),
        "n_detector_alone": int((stopped | bare & ~rejected).sum()),
        "n_filter_alone": int(right.sum()),
        "n_both": int((stopped | right & ~rejected).sum()),
    }


def detectors_of(columns: Columns) -> list[str]:
    """Name the detectors whose scores a ledger has."""
    return [name.removeprefix(SCORE) for name in columns if name.startswith(SCORE)]


def successes(columns: Columns) -> NDArray[np.bool_]:
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


def area(
    clean: NDArray[np.float32], attacked: NDArray[np.float32], confidence: float
) -> tuple[float, float, float]:
    """Estimate the area under the curve of `roc`, with an interval.

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
