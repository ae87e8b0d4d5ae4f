"""Which GPU of a machine a job has: one that no other job has, of this or of another process.

A file for each GPU is locked as long as a job has it. The system unlocks it when the job's process
ends, however that ends.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path


class _Lease:
    """The GPU of a job, chosen when it is asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._taken: int | None = None

    def take(self, names: Sequence[str]) -> int:
        if self._taken is None:
            free = (index for index, name in enumerate(names) if self._locks(name))
            self._taken = next(free, 0)
        return self._taken

    def _locks(self, name: str) -> bool:
        """Lock the file of a GPU until the lease ends, unless another job has."""
        folder = Path(tempfile.gettempdir()) / f"epsigma-gpus-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        file = (folder / name).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._stack.callback(file.close)
        return True


_LEASE: ContextVar[_Lease | None] = ContextVar("lease", default=None)


@contextmanager
def lending_gpu() -> Iterator[None]:
    """Let the body, a job, have one GPU: see `choose_gpu`."""
    with ExitStack() as stack:
        token = _LEASE.set(_Lease(stack))
        stack.callback(_LEASE.reset, token)
        yield


def choose_gpu(names: Sequence[str]) -> int:
    """Choose one of the GPUs that this process sees: the same one throughout a job.

    Args:
        names: of the GPUs, each the same in every process of this machine.

    Returns:
        The number of the first that no other job has; 0 if all are taken, and outside a job.
    """
    lease = _LEASE.get()
    return lease.take(names) if lease else 0
