"""Training on images that pass filters first."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epsigma.training.standard import Standard


class Filtered(Standard):
    """The cross-entropy J(θ, F(x), y) of images that pass `filters`, at least one, in turn: F.

    What filters draw is drawn anew in each step. The model is validated behind them, too.

    Source: Yang, Zhang, Katabi & Xu 2019 (arXiv:1905.11971) train on masked images that are
    estimated anew; Guo, Rana, Cisse & van der Maaten 2018 (arXiv:1711.00117) and Bhagoji, Cullina,
    Sitawarin & Mittal 2018 (arXiv:1704.02654) on transformed ones.
    """

    def __init__(self, *, filters: Sequence[nn.Module]) -> None:
        if not filters:
            raise ValueError("there is no filter to train through: name one at least")
        super().__init__()
        self.filters = nn.Sequential(*filters)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch, as `Objective` says; the logits are of filtered images."""
        return super().__call__(model, self._pass(images), labels, progress=progress)

    def validate(
        self, model: nn.Module, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the loss of filtered images that are not trained on."""
        return super().validate(model, self._pass(images), labels)

    @torch.no_grad()
    def _pass(self, images: Tensor) -> Tensor:
        filtered: Tensor = self.filters(images)
        return filtered
