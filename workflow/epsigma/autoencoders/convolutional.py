"""MagNet's autoencoders."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

POOLS = ("average", "max", None)


class Convolutional(nn.Module):
    """Few 3 × 3 convolutions with sigmoids; with pooling, the middle is at half the size.

    Args:
        shape: (C, H, W) of an image.
        channels: of each convolution but the last, which has C.
        pool: `average` or `max`: a convolution, pooling, a convolution, and the same mirrored, with
            values repeated to double the size; None: one convolution each way. Another maps to C.

    Source: Meng & Chen 2017 (arXiv:1705.09064), table 1 (`average` is its autoencoder I for MNIST,
    None its II), and the authors' code.
    """

    def __init__(
        self, shape: tuple[int, int, int], *, channels: int = 3, pool: str | None = "average"
    ) -> None:
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"pool = {pool!r} is none of average, max and null")
        depth, _, _ = shape
        self.pool = pool
        self.encoder = _convolutions(depth, channels)
        # At half the size, where there is pooling.
        self.middle = _convolutions(channels, *([channels, channels] if pool else []))
        self.decoder = _convolutions(channels, channels, depth)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to reconstructions of them, in (0, 1)."""
        hidden = self.encoder(images)
        if self.pool is not None:
            pooled = functional.avg_pool2d if self.pool == "average" else functional.max_pool2d
            hidden = self.middle(pooled(hidden, 2, ceil_mode=True))
            hidden = functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            height, width = images.shape[-2:]
            hidden = hidden[..., :height, :width]
        reconstruction: Tensor = self.decoder(hidden)
        return reconstruction


def _convolutions(depth: int, *channels: int) -> nn.Sequential:
    """Chain convolutions of so many channels, each with a sigmoid."""
    layers: list[nn.Module] = []
    for before, after in pairwise((depth, *channels)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.Sigmoid()]
    return nn.Sequential(*layers)
