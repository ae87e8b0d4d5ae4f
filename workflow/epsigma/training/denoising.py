"""What an autoencoder is trained on."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from epsigma.training.objective import Objective


class Denoising(Objective):
    """The mean squared error of what comes out of clip(x + v·z), z normal, against x.

    `noise` is v, in units of the pixel range; 0 for none.

    Source: Meng & Chen 2017 (arXiv:1705.09064), section 4.2.1, and the authors' code.
    """

    def __init__(self, *, noise: float) -> None:
        self.noise = noise

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, progress: float
    ) -> tuple[Tensor, None]:
        """Compute the loss of a batch, as `Objective` says; the labels are not used."""
        noisy = (images + self.noise * torch.randn_like(images)).clamp_(0, 1)
        return functional.mse_loss(model(noisy), images), None

    def validate(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, None]:
        """Compute the loss without noise."""
        return functional.mse_loss(model(images), images), None
