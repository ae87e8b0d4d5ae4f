"""Defensive distillation: learning from a teacher's softened probabilities."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from epsigma.training.objective import Objective, SoftenedCrossEntropy


class Distillation(Objective):
    """The cross-entropy of the student's softmax(Z / T) with the teacher's, T positive.

    The student is tested at T = 1, where its logits, T times as large, saturate the softmax. The
    teacher, from images to logits, is in eval mode, and was trained at the same T.

    Source: Papernot, McDaniel, Wu, Jha & Swami 2016 (arXiv:1511.04508), section IV.A.
    """

    def __init__(self, *, temperature: float, teacher: nn.Module) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature = {temperature} is not positive")
        self.temperature = temperature
        self.teacher = teacher

    @staticmethod
    def of_teacher(*, temperature: float) -> Objective:
        """Make what the teacher is trained on."""
        return SoftenedCrossEntropy(temperature=temperature)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch, as `Objective` says; the labels are not used."""
        with torch.no_grad():
            taught = (self.teacher(images) / self.temperature).softmax(1)
        logits = model(images)
        return functional.cross_entropy(logits / self.temperature, taught), logits
