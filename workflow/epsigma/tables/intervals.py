"""The intervals of rates."""

from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95


def wilson(count: Any, trials: Any) -> tuple[Any, Any]:
    """Compute the bounds of Wilson's interval (1927), 95 %, of a share: numbers, or columns.

    Rounded where rounding errors begin: a bound of 0 is 0, not 4e-18.
    """
    low, high = proportion_confint(count, trials, 1 - CONFIDENCE, method="wilson")
    return np.round(low, 12), np.round(high, 12)
