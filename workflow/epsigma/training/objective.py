"""What training minimises."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional


class Objective(ABC):
    """A loss of a model on a batch."""

    @abstractmethod
    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, progress: float
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the mean loss of a batch, and logits (N, K) to count accuracy on, if any.

        Args:
            model: from images to logits, in training mode.
            images: (N, C, H, W) float in [0, 1].
            labels: (N,) int64, the true classes.
            progress: epochs that are done, and the part of the present one.
        """

    def validate(
        self, model: nn.Module, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the loss of a batch that is not trained on: the plain cross-entropy, at T = 1."""
        logits = model(images)
        return functional.cross_entropy(logits, labels), logits


class SoftenedCrossEntropy(Objective):
    """The cross-entropy of softmax(Z / T), T positive: that of a teacher of defensive distillation.

    Source: Papernot, McDaniel, Wu, Jha & Swami 2016 (arXiv:1511.04508), section IV.A.
    """

    def __init__(self, *, temperature: float = 1.0) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature = {temperature} is not positive")
        self.temperature = temperature

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch, as `Objective` says."""
        logits = model(images)
        return functional.cross_entropy(logits / self.temperature, labels), logits
