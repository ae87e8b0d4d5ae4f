"""Which training images are held out for validation."""

import torch
from torch import Tensor


def split(n: int, *, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split n images: `fraction` of them, rounded, to be held out, and the rest; both int64.

    From the same seed, what one holds out is among what another does that holds out more.

    Raises:
        ValueError: if one of the two is empty.
    """
    size = round(n * fraction)
    if not 0 < size < n:
        raise ValueError(
            f"validation: {fraction} of {n} images leaves {n - size} to train on and {size} to "
            "validate on: say another, so that each has one"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[:size], order[size:]
