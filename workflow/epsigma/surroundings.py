"""What the environment of a process may not change: threads, and Lightning's own settings."""

import os
import sys
from contextlib import suppress
from importlib import import_module

# From these libraries of linear algebra and OpenMP take how many threads to use.
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# It comes before MKL_NUM_THREADS.
_MORE_THREADS = "MKL_DOMAIN_NUM_THREADS"
# Defaults of Lightning's trainer, as in PL_TRAINER_GRADIENT_CLIP_VAL.
_TRAINER = "PL_TRAINER_"


def settle() -> None:
    """Set what all jobs of this process share, and those that it starts.

    Each job computes on one thread, whatever the site or the user's shell says: sums over several
    are rounded otherwise, and Snakemake runs jobs in parallel. Libraries that are loaded already
    no longer look into the environment; they are told.
    """
    os.environ.update(dict.fromkeys(THREADS, "1"))
    for name in [*os.environ]:
        if name == _MORE_THREADS or name.startswith(_TRAINER):
            del os.environ[name]
    # Snakemake has imported NumPy; torch, a workflow that imports this one may have.
    with suppress(ModuleNotFoundError):  # which is said later, of all packages
        import_module("threadpoolctl").threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
