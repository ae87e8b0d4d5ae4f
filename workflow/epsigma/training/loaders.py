"""Batches of a data set, and the part of it that is held out for validation."""

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from epsigma.storage.images import ImageSet
from epsigma.training.validation import permutation


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Images and labels that are indexed a batch at a time, so that nothing is collated."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Take the images and labels at `indices`."""
        return self.images[indices], self.labels[indices]


def split_validation(data: ImageSet, *, fraction: float, seed: int) -> tuple[Batches, Batches]:
    """Split into what to train on and what to validate on, `fraction` at random of the images.

    Raises:
        ValueError: if one of them is empty.
    """
    n = len(data.labels)
    size = round(n * fraction)
    if not 0 < size < n:
        raise ValueError(
            f"validation: {fraction} of {n} images leaves {n - size} to train on and {size} to "
            "validate on"
        )
    order = permutation(n, seed)
    held_out, learn = order[:size], order[size:]
    return (
        Batches(data.images[learn], data.labels[learn]),
        Batches(data.images[held_out], data.labels[held_out]),
    )


def make_loader(
    data: Batches, batch_size: int, order: torch.Generator | None = None
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Load batches: in random order if a generator is given, else in order."""
    sampler = RandomSampler(data, generator=order) if order else SequentialSampler(data)
    # Batch normalisation cannot learn from one image, which another epoch will bring elsewhere.
    single = order is not None and len(data) > batch_size and len(data) % batch_size == 1
    # The batch sampler is the sampler: the loader hands whole lists of indices to the data set.
    return DataLoader(
        data, batch_size=None, sampler=BatchSampler(sampler, batch_size, drop_last=single)
    )
