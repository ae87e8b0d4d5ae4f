"""Principal components: the linear autoencoder of least error."""

from math import prod

import torch
from torch import Tensor, nn

from epsigma.storage.batches import batches

# Values of an image of which all pairs are held: their covariance takes 1 GiB of float64.
LARGEST = 11_585


class PrincipalComponents(nn.Module):
    """Keep the directions in which training images vary most.

    Nothing of it is trained by gradients: `fit` finds it in closed form. Before that the directions
    are the first pixels.

    Args:
        shape: (C, H, W) of an image.
        components: how many directions are kept, at most; all of smaller images.

    Attributes:
        mean: (C·H·W,), the mean image.
        directions: (K, C·H·W), orthonormal, that of the largest variance first.

    Source: Bhagoji et al. 2018 (arXiv:1704.02654), section III.
    """

    def __init__(self, shape: tuple[int, int, int], *, components: int = 100) -> None:
        super().__init__()
        size = prod(shape)
        if size > LARGEST:
            raise ValueError(
                f"images of {size} values are too large for principal components; at most "
                f"{LARGEST}: resize them (size), or take another filter"
            )
        kept = torch.eye(min(components, size), size)
        self.mean = nn.Parameter(torch.zeros(size), requires_grad=False)
        self.directions = nn.Parameter(kept, requires_grad=False)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Find mean and directions of images (N, C, H, W), which pass batch by batch."""
        size = len(self.mean)
        total = torch.zeros(size, dtype=torch.float64, device=images.device)
        products = torch.zeros(size, size, dtype=torch.float64, device=images.device)
        for (batch,) in batches(images):
            flat = batch.flatten(1).double()
            total += flat.sum(0)
            products.addmm_(flat.T, flat)
        mean = total / len(images)
        covariance = products / len(images) - mean.outer(mean)
        # Ascending.
        _, vectors = torch.linalg.eigh(covariance)
        self.mean.copy_(mean)
        self.directions.copy_(vectors.T.flip(0)[: len(self.directions)])

    def basis(self, images: Tensor, components: int) -> tuple[Tensor, Tensor]:
        """Return mean and so many directions, in the precision of images (N, C, H, W).

        Raises:
            ValueError: if so many were not kept.
        """
        if components > len(self.directions):
            raise ValueError(
                f"components = {components} is more than the {len(self.directions)} that were "
                "kept: ask for fewer"
            )
        return self.mean.to(images), self.directions[:components].to(images)

    def project(self, images: Tensor, components: int) -> Tensor:
        """Project images (N, C, H, W) on the first so many directions around the mean."""
        mean, directions = self.basis(images, components)
        codes = (images.flatten(1) - mean) @ directions.T
        return (mean + codes @ directions).view_as(images)

    def forward(self, images: Tensor) -> Tensor:
        """Project images (N, C, H, W) on all directions that were kept."""
        return self.project(images, len(self.directions))
