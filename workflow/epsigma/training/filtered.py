"""Training on images that pass filters first."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from epsigma.training.objective import Objective


class Filtered(Objective):
    """The cross-entropy J(θ, F(x), y) of images that pass `filters`, at least one, in turn: F.

    What filters draw is drawn anew in each step. The model is validated behind them, too.

    Source: Yang, Zhang, Katabi & Xu 2019 (arXiv:1905.11971, section 3.3) train on images of which
    they have drawn ten masks each; Guo, Rana, Cisse & van der Maaten 2018 (arXiv:1711.00117,
    section 5.3) and Bhagoji, Cullina, Sitawarin & Mittal 2018 (arXiv:1704.02654) on transformed
    images.
    """

    def __init__(self, *, filters: Sequence[nn.Module]) -> None:
        if not filters:
            raise ValueError("there is no filter to train through: name one at least")
        self.filters = nn.Sequential(*filters)

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch, as `Objective` says; the logits are of filtered images."""
        return self._score(model, images, labels)

    def validate(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss of filtered images that are not trained on."""
        return self._score(model, images, labels)

    def _score(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            filtered = self.filters(images)
        logits = model(filtered)
        return functional.cross_entropy(logits, labels), logits
