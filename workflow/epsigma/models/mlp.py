"""The paper's shallow network."""

import math

from torch import Tensor, nn


class MLP(nn.Module):
    """A fully connected network with one layer of `hidden` rectified linear units.

    The paper says "a shallow neural network" and no more.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(math.prod(shape), hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.layers(images)
        return logits
