"""No filter."""

from torch import Tensor

from epsigma.filters.filter import Filter


class Identity(Filter):
    """Return the images as they are: what every filter is measured against."""

    def forward(self, images: Tensor) -> Tensor:
        """Return `images` itself."""
        return images

    def formula(self, images: Tensor) -> Tensor:
        """Return `images` itself."""
        return images
