"""How many images are worked on at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from epsigma.memory import give_back_growth

# Images that are worked on at a time, at most: of MNIST's, a batch stays in a core's cache.
BATCH = 1000

_SIZE: ContextVar[int | None] = ContextVar("size", default=None)
T = TypeVar("T")


class Images(Protocol):
    """Images (N, C, H, W): a tensor, or what reads slices of them from a file."""

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, at: slice, /) -> Tensor:
        """Some of the images, (M, C, H, W)."""


class Indexed(Images, Protocol):
    """Images of which an index (M,) reads some, too."""

    def __getitem__(self, at: slice | Tensor, /) -> Tensor:
        """Some of the images, (M, C, H, W)."""


class Changed:
    """Images, changed as they are read.

    Args:
        images: (N, C, H, W).
        change: from some of them, (M, C, H, W), and which they are, to others of that shape.
    """

    def __init__(self, images: Indexed, change: Callable[[Tensor, slice | Tensor], Tensor]) -> None:
        self._images, self._change = images, change

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        return self._images.shape

    def __len__(self) -> int:
        """N."""
        return len(self._images)

    def __getitem__(self, at: slice | Tensor, /) -> Tensor:
        """Some of the images, changed."""
        return self._change(self._images[at], at)


class Chosen:
    """Some of some images.

    Args:
        images: (N, C, H, W); an index (M,) reads some.
        places: (M,) int64, which.
    """

    def __init__(self, images: Indexed, places: Tensor) -> None:
        self._images, self._places = images, places

    @property
    def shape(self) -> torch.Size:
        """(M, C, H, W)."""
        return torch.Size((len(self), *self._images.shape[1:]))

    def __len__(self) -> int:
        """M."""
        return len(self._places)

    def __getitem__(self, at: slice, /) -> Tensor:
        """Some of them."""
        return self._images[self._places[at]]


class Sampled(Chosen):
    """So many of some images, spread over all: one at random of each stretch, always the same.

    Sets are sorted, by class or, of an attack that aims, by target: every k-th of them would be of
    one kind.

    Args:
        images: (N, C, H, W); an index (M,) reads some.
        most: how many, at most.
    """

    def __init__(self, images: Indexed, most: int) -> None:
        count = len(images)
        places = torch.arange(count)
        if count > most:
            starts = torch.arange(most + 1, dtype=torch.float64) * (count / most)
            jitter = torch.rand(most, generator=torch.Generator().manual_seed(0)).double()
            places = starts[:-1] + jitter * (starts[1:] - starts[:-1])
            places = places.long().clamp_(max=count - 1)
        super().__init__(images, places)


def batch_size() -> int:
    """Say how many images a batch holds here: `BATCH`, or what `batches_of` says."""
    size = _SIZE.get()
    return BATCH if size is None else size


@contextmanager
def batches_of(size: int) -> Iterator[None]:
    """Let batches hold so many images as long as the body runs, in this thread."""
    token = _SIZE.set(size)
    try:
        yield
    finally:
        _SIZE.reset(token)


def batches(*tensors: Images) -> Iterator[tuple[Tensor, ...]]:
    """Cut what has as many rows, together, into batches: of tensors views."""
    size = batch_size()
    for start in range(0, len(tensors[0]), size):
        yield tuple(tensor[start : start + size] for tensor in tensors)
        _tidy(size)


def _tidy(size: int) -> None:
    """Keep memory from growing between batches of this size: of small images it does not."""
    if size < BATCH:
        give_back_growth()


def each_batch(
    count: int,
    work: Callable[[slice], T],
    *,
    generator: torch.Generator | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    chunk: int | None = None,
) -> Iterator[T]:
    """Work on `count` rows, a batch at a time, and yield what comes of each.

    Where a GPU has no memory left, the batch is halved, the generator is set back, and the rows are
    worked on again.

    Args:
        work: is told which rows. What it cuts itself (`batches`) is of the same size.
        generator: that it draws from.
        say: is told when a batch is halved.
        chunk: how many rows it is told at a time if it cuts them itself; None for a batch.

    Raises:
        torch.OutOfMemoryError: if there is none for a single image.
    """
    size, start = batch_size(), 0
    while start < count:
        rows = slice(start, min(start + (chunk or size), count))
        state = None if generator is None else generator.get_state()
        try:
            with batches_of(size):
                made = work(rows)
        except torch.OutOfMemoryError as error:
            size = min(size, rows.stop - rows.start) // 2
            if not size:
                raise
            reason = str(error).partition("\n")[0]
        else:
            start = rows.stop
            yield made
            del made
            _tidy(size)
            continue
        # Outside the handler, whose traceback holds what the attempt had allocated.
        torch.cuda.empty_cache()
        if generator is not None and state is not None:
            generator.set_state(state)
        say(f"out of the GPU's memory, so batches of {size} from here on ({reason})")
