"""What all jobs share whatever the environment says: threads, Lightning's settings; and memory."""

import ctypes
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
# Of the C library's allocator: parameters of mallopt and their values, with their names in the
# environment. By itself it asks the system for each tensor of 32 MB and more anew, which is a third
# of the time of a convolutional network's gradient, and each thread has memory of its own, of which
# what is freed serves no other. Of several values the first counts that it takes: up to glibc 2.33
# or so that is 32 MB at most, and once another parameter is set it stays at 128 kB otherwise.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": (-3, (64 << 20, 32 << 20)),
    "MALLOC_TRIM_THRESHOLD_": (-1, (256 << 20,)),
    "MALLOC_ARENA_MAX": (-8, (1,)),
}


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
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have the C library keep what tensors of some 10 MB free, for the next ones.

    Where the user has chosen otherwise that stays, and where it is not glibc's nothing is said.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for name, (parameter, values) in ALLOCATOR.items():
        if name in os.environ:
            continue
        taken = next((value for value in values if mallopt(parameter, value)), None)
        if taken is None:
            return
        # For the processes that this one starts.
        os.environ[name] = str(taken)
