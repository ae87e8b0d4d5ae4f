"""Projection on the principal components of training images."""

import torch
from torch import Tensor, nn

from epsigma.autoencoders.pca import PrincipalComponents
from epsigma.filters.filter import Filter


class PCA(Filter):
    """Keep of images what the directions in which training images vary most say of them.

    z = m + (x − m) VᵀV, m the mean training image, V the first so many directions. It is affine,
    so its gradient is exact, and proofs know it. Values may leave [0, 1].

    Args:
        components: how many directions.
        autoencoder: has been fitted; of the kind `pca`, or a module with one in it.

    Source: Bhagoji et al. 2018 (arXiv:1704.02654), section III, with images put together again for
    a classifier that was trained on images.
    """

    def __init__(self, *, components: int, autoencoder: nn.Module) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"components = {components} is less than 1")
        found = [one for one in autoencoder.modules() if isinstance(one, PrincipalComponents)]
        if not found:
            raise ValueError("the filter pca needs an autoencoder of the kind pca")
        self.components = components
        self.fitted = found[0]

    def forward(self, images: Tensor) -> Tensor:
        """Project images (N, C, H, W)."""
        return self.fitted.project(images, self.components)

    def formula(self, images: Tensor) -> Tensor:
        """Find the nearest image of the form m + cV, by least squares."""
        mean, directions = self.fitted.basis(images, self.components)
        centred = (images.flatten(1) - mean).T
        codes = torch.linalg.lstsq(directions.T, centred).solution
        nearest: Tensor = mean[:, None] + directions.T @ codes
        return nearest.T.reshape(images.shape)
