"""The batch of a job: as many images as its memory has room for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from epsigma.job import Job
from epsigma.memory import fitting_batch, give_back
from epsigma.storage import batches
from epsigma.storage.batches import Images, batches_of


@contextmanager
def fit_batches(
    job: Job,
    images: Images,
    run: Callable[[Tensor], object],
    device: torch.device,
    *generators: torch.Generator,
    draws: int = 1,
) -> Iterator[None]:
    """Let batches in the body hold as many images as fit: see `fitting_batch`.

    Args:
        job: its `batch_size` or `memory_mb` decide.
        images: (N, C, H, W).
        run: does with one image, (1, C, H, W), what takes the most memory of all that follows.
        device: where the images are.
        generators: that `run` draws from; they are left as they were.
        draws: passes that `run` keeps the tensors of, to average over them.
    """
    size = job.batch_size or fitting_batch(
        images.shape[1:],
        run,
        most=batches.BATCH,
        memory_mb=job.memory_mb,
        device=device,
        generators=generators,
        draws=draws,
    )
    with batches_of(size):
        yield
    if size < batches.BATCH:
        # Each thread's would grow by what it has freed.
        give_back()
