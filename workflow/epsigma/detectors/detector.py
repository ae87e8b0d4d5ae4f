"""What every detector is."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Detector(nn.Module, ABC):
    """Says how much an image does not look like one that the classifier was made for."""

    @abstractmethod
    def forward(self, images: Tensor, logits: Tensor, model: nn.Module) -> Tensor:
        """Score images: the larger, the more suspicious.

        Args:
            images: (N, C, H, W) float.
            logits: (N, K), what the classifier says of them.
            model: the classifier, from images to logits.

        Returns:
            (N,), at least 0, differentiable; where its own gradient would be lost, with that of
            something near (BPDA), for those who attack it.
        """
