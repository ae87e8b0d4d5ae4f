"""Softmax regression: the linear classifier."""

import math

from torch import Tensor, nn


class Softmax(nn.Module):
    """Softmax regression: logits Wx + b. Its softmax is in the loss, as every model's.

    Source: the shallow softmax classifier of Goodfellow et al. 2014 (arXiv:1412.6572), section 4.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.layers(images)
        return logits
