"""The maxout network of permutation-invariant MNIST."""

import math

import torch
from torch import Tensor, nn


class MaxoutLayer(nn.Module):
    """Units hᵢ(x) = maxⱼ (wᵢⱼ·x + bᵢⱼ), j over the pieces.

    Source: Goodfellow et al. 2013 (arXiv:1302.4389), section 3.
    """

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.affine = nn.Linear(inputs, pieces * units)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, units)."""
        affine: Tensor = self.affine(x)
        return affine.view(len(x), self.pieces, -1).amax(1)


class Maxout(nn.Module):
    """Two maxout layers and a linear one, with dropout and bounded weight vectors.

    Args:
        units: width of a maxout layer.
        pieces: affine functions of which a unit takes the largest.
        dropout_input: share of the pixels dropped in training.
        dropout_hidden: share of each maxout layer's units dropped in training.
        max_norm: largest ℓ2 norm of a weight vector, the weights that lead to one piece of a unit
            or to one logit.

    Source: Goodfellow et al. 2013 (arXiv:1302.4389), section 5.1; the defaults are those of the
    authors' own settings (pylearn2, scripts/papers/maxout/mnist_pi.yaml).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        units: int = 240,
        pieces: int = 5,
        dropout_input: float = 0.2,
        dropout_hidden: float = 0.5,
        max_norm: float = 1.9365,
    ) -> None:
        super().__init__()
        self.max_norm = max_norm
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout_input),
            MaxoutLayer(math.prod(shape), units, pieces),
            nn.Dropout(dropout_hidden),
            MaxoutLayer(units, units, pieces),
            nn.Dropout(dropout_hidden),
            nn.Linear(units, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.layers(images)
        return logits

    @torch.no_grad()
    def constrain(self) -> None:
        """Scale each weight vector that is longer than `max_norm` back to it, after a step."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.renorm_(p=2, dim=0, maxnorm=self.max_norm)
