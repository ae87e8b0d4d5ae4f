"""How many clean images a detector may reject."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def count_allowed(rates: Any, n: int) -> NDArray[np.int64]:
    """Count how many of `n` images may be rejected, at most, at false positive rates.

    ⌊rate · n⌋, also where floating point is a little less than a whole number: 29 of 100 at 0.29.
    """
    return np.floor(np.asarray(rates) * n + 1e-9).astype(np.int64)
