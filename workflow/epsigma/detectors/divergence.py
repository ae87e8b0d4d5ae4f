"""MagNet's detector by the divergence of predictions."""

from torch import Tensor, nn
from torch.special import entr

from epsigma.detectors.detector import Detector


class Divergence(Detector):
    """Score an image by how far the classifier's answer is from that about its reconstruction.

    The score is the Jensen–Shannon divergence of softmax(Z(x) / T) and softmax(Z(ae(x)) / T), in
    nats: from 0 to ln 2.

    Args:
        autoencoder: from images to images, trained on clean ones.
        temperature: T, positive; more than 1 tells confident answers apart.

    Source: Meng & Chen 2017 (arXiv:1705.09064), section 4.2.2.
    """

    def __init__(self, *, autoencoder: nn.Module, temperature: float = 10.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature = {temperature} is not positive")
        self.autoencoder = autoencoder
        self.temperature = temperature

    def forward(self, images: Tensor, logits: Tensor, model: nn.Module) -> Tensor:
        """Score images (N, C, H, W)."""
        one = (logits / self.temperature).softmax(1)
        other = (model(self.autoencoder(images)) / self.temperature).softmax(1)
        # H(mean) − mean of H; rounding may leave it a hair below zero.
        mean = entr((one + other) / 2).sum(1)
        divergence: Tensor = mean - (entr(one).sum(1) + entr(other).sum(1)) / 2
        return divergence.clamp(min=0)
