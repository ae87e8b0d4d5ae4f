"""How many images fit into the memory of a job."""

import ctypes
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from epsigma.vocabulary import MEMORY_MB, PROCESS_MB

MB = 1_000_000
# Images as large as a batch that attacks keep, beside what a pass through the model takes.
COPIES = 12
# By how much more memory is taken than there are tensors: what is freed is not all given back.
SLACK = 1.25
# Products of so many rows, or a multiple, are rounded alike: batches of other memory have the same
# results to the bit, more often than not.
ALIKE = 16
# Values of a batch that is not made smaller unless the study says how much memory there is: those
# of 1,000 images of 28 x 28.
LEAST_VALUES = 784_000
# Bytes by which a process may grow, between batches, before it gives back what was freed.
GROWTH = 250 * MB
# Bytes that are in memory after a batch, as long as it has not grown; None if that is not known.
_usual: int | None = None


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made in its body, while they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: dict[int, int] = {}
        self._live = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self._note(one for one in tree_leaves(made) if isinstance(one, Tensor))
        return made

    def _note(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage.data_ptr()
            if storage.nbytes() and key not in self._known:
                self._known[key] = storage.nbytes()
                self._live += storage.nbytes()
                finalize(storage, self._forget, key)
        self.peak = max(self.peak, self._live)

    def _forget(self, key: int) -> None:
        self._live -= self._known.pop(key)


def measure_peak(run: Callable[[], object]) -> int:
    """Run something, and measure how many bytes its tensors take at most, at a time."""
    live = _Live()
    with live:
        run()
    return live.peak


def fitting_batch(
    shape: Sequence[int],
    run: Callable[[Tensor], object],
    *,
    most: int,
    memory_mb: int | None,
    device: torch.device,
    generators: Sequence[torch.Generator] = (),
    draws: int = 1,
) -> int:
    """Find how many images of a shape (C, H, W) a batch may hold.

    Args:
        run: does with images (1, C, H, W) what takes the most memory: a pass through the model.
        most: images that a batch holds at most.
        memory_mb: what the batch may take; None for `MEMORY_MB` (of a GPU, for half of what is
            free), or an even share of this machine if that is less, but at least `LEAST_VALUES`.
        device: of the images.
        generators: that `run` draws from; they are left as they were.
        draws: passes through the model of which all tensors are kept: by so much `most` and
            `LEAST_VALUES` are divided.

    Returns:
        A multiple of `ALIKE`, `most`, or less than `ALIKE`.
    """
    most = max(1, most // draws)
    least = 1 if memory_mb else max(1, LEAST_VALUES // draws // math.prod(shape))
    if least >= most:
        return most
    states = [generator.get_state() for generator in generators]
    example = torch.full((1, *shape), 0.5, device=device)
    taken = measure_peak(lambda: run(example)) + COPIES * example.nbytes
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    budget = memory_mb * MB if memory_mb else _share(device)
    size = min(max(int(budget / (taken * SLACK)), least), most)
    return size if size == most or size < ALIKE else size // ALIKE * ALIKE


def _share(device: torch.device) -> int:
    """Say how many bytes of a device a job may take if the study does not."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free // 2
    pages, cores = os.sysconf("SC_PHYS_PAGES"), os.cpu_count() or 1
    left = pages * os.sysconf("SC_PAGE_SIZE") - PROCESS_MB * MB
    return min(MEMORY_MB * MB, max(left, 0) // cores)


def give_back() -> None:
    """Give the system back what the C library keeps of memory that was freed, where it can."""
    global _usual
    _usual = None
    _trim()


def give_back_growth() -> None:
    """Give memory back, between two batches, if this process has grown by `GROWTH`.

    That is since the first batch after `give_back`. What a batch frees has gaps of what is kept of
    it, such as its logits. The next batch's tensors, which are as large, do not fit in between,
    since they are aligned (glibc 2.36): without this the process grows with each batch, to the size
    of the whole set.
    """
    global _usual
    resident = _count_resident()
    if _usual is None:
        _usual = resident
    elif resident > _usual + GROWTH:
        _trim()


def _trim() -> None:
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _count_resident() -> int:
    """Count the bytes of this process that are in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
