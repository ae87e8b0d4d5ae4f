"""Networks that were made for normalised images."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

Numbers = float | Sequence[float]


class Normalize(nn.Module):
    """Map images x (N, C, H, W) in [0, 1] to (x − mean) / std, a channel at a time.

    Args:
        mean: of each of the C channels, or of all of them; in units of the pixel range, [0, 1].
        std: as `mean`, greater than 0.
        channels: C.

    Raises:
        ValueError: if there are neither one nor C numbers, or float32 cannot divide by them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Numbers, std: Numbers, channels: int) -> None:
        super().__init__()
        for name, given in (("mean", mean), ("std", std)):
            values = torch.tensor(given, dtype=torch.float32).flatten()
            if len(values) not in (1, channels):
                raise ValueError(
                    f"normalize.{name} has {len(values)} numbers, and images have {channels} "
                    f"channel{'s' if channels > 1 else ''}: give one number, or one a channel"
                )
            if name == "std" and not values.reciprocal().isfinite().all():
                raise ValueError(f"normalize.std = {given} is too small to divide by in float32")
            self.register_buffer(name, values.expand(channels).clone()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images."""
        return (images - self.mean) / self.std


class Normalized(nn.Sequential):
    """A network behind its normalisation, as one model of images in [0, 1]."""

    normalize: Normalize
    network: nn.Module

    def __init__(self, normalize: Normalize, network: nn.Module) -> None:
        super().__init__(OrderedDict(normalize=normalize, network=network))

    def constrain(self) -> None:
        """Put the network's weights back where it wants them, after a step."""
        constrain: Any = getattr(self.network, "constrain", None)
        if callable(constrain):
            constrain()
