"""What every detector is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Detector(nn.Module, ABC):
    """Scores how unlike an image is to those that the classifier was trained for."""

    @abstractmethod
    def forward(self, images: Tensor, logits: Tensor, model: nn.Module) -> Tensor:
        """Score images, (N,), at least 0: the larger, the more suspicious.

        Differentiable; where its own gradient would be lost, with that of a surrogate (BPDA).

        Args:
            images: (N, C, H, W) float.
            logits: (N, K), the classifier's.
            model: the classifier, from images to logits.
        """
