"""MagNet's detector by reconstruction error."""

from torch import Tensor, nn

from epsigma.detectors.detector import Detector


class Reconstruction(Detector):
    """Score an image by the mean of |x − ae(x)|ᵖ over its values, p = 1 or 2.

    Source: Meng & Chen 2017 (arXiv:1705.09064), section 4.2.1, and the authors' code.
    """

    def __init__(self, *, autoencoder: nn.Module, p: int = 1) -> None:
        super().__init__()
        if p not in (1, 2):
            raise ValueError(f"p = {p} is neither 1 nor 2")
        self.autoencoder = autoencoder
        self.p = p

    def forward(self, images: Tensor, logits: Tensor, model: nn.Module) -> Tensor:
        """Score images (N, C, H, W); the classifier is not used."""
        difference = images - self.autoencoder(images)
        power = difference.abs() if self.p == 1 else difference.square()
        score: Tensor = power.flatten(1).mean(1)
        return score
