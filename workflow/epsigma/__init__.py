"""epsigma: what low-cost input filters do against adversarial examples.

The package knows nothing of Snakemake. What the workflow needs to build its DAG (`cell`, `kinds`,
`plan`, `registry`, `study`) imports neither torch nor numpy.

`open_study` opens the results of a study; attacks and filters are functions and modules that can
be called in any loop: `epsigma.attacks.pgd.pgd`, `epsigma.filters.gaussian.Gaussian`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["open_study"]


def __getattr__(name: str) -> Any:
    """Import what reads results when it is first asked for: it imports pandas."""
    if name in __all__:
        # Not written as an import, which the digests of all stages would follow.
        return getattr(importlib.import_module("epsigma.library"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
