"""No filter."""

from torch import Tensor, nn


class Identity(nn.Module):
    """Return the images as they are: what every filter is measured against."""

    def forward(self, images: Tensor) -> Tensor:
        """Return `images` itself."""
        return images
