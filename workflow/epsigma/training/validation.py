"""Which training images are held out for validation."""

import torch
from torch import Tensor


def permutation(n: int, seed: int) -> Tensor:
    """Order n images at random; those held out are the first.

    From the same seed, what one holds out is among what another does that holds out more.
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def held_out(n: int, *, fraction: float, seed: int) -> Tensor:
    """List the images of n that are held out: `fraction` of them, rounded, int64."""
    return permutation(n, seed)[: round(n * fraction)]
