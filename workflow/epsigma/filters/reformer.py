"""MagNet's reformer: an autoencoder in front of the classifier."""

import copy

from torch import Tensor, nn

from epsigma.filters.filter import Filter


class Reformer(Filter):
    """Replace images by their reconstructions, which an autoencoder draws towards clean ones.

    An image passes the autoencoder, trained on clean ones and from [0, 1] to [0, 1], so many times.

    Source: Meng & Chen 2017 (arXiv:1705.09064), section 4.3.2.
    """

    is_linear = False

    def __init__(self, *, passes: int, autoencoder: nn.Module) -> None:
        super().__init__()
        if passes < 1:
            raise ValueError(f"passes = {passes} is less than 1")
        self.passes = passes
        self.autoencoder = autoencoder

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (N, C, H, W)."""
        for _ in range(self.passes):
            images = self.autoencoder(images)
        return images

    def formula(self, images: Tensor) -> Tensor:
        """Reconstruct in the images' precision: what was trained is its own definition."""
        reconstructed: Tensor = copy.deepcopy(self).to(images)(images)
        return reconstructed
