"""MagNet's reformer: an autoencoder in front of the classifier."""

import copy

from torch import Tensor, nn

from epsigma.filters.filter import Filter


class Reformer(Filter):
    """Replace images by their reconstructions, which an autoencoder draws towards clean ones.

    Args:
        autoencoder: from images in [0, 1] to images in [0, 1], trained on clean ones.
        passes: how often an image passes it, one after the other; at least 1.

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
        return self._passed(self.autoencoder, images)

    def formula(self, images: Tensor) -> Tensor:
        """Reconstruct in the images' precision: what was trained is its own definition."""
        return self._passed(copy.deepcopy(self.autoencoder).to(images), images)

    def _passed(self, autoencoder: nn.Module, images: Tensor) -> Tensor:
        for _ in range(self.passes):
            images = autoencoder(images)
        return images
