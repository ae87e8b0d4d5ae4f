"""The fast gradient sign method."""

from torch import Tensor, nn

from epsigma.attacks.direction import step_along
from epsigma.attacks.gradient import check_loss, input_gradient


def fgsm(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, loss: str = "cross_entropy"
) -> Tensor:
    """Take one step of size ε along the sign of the gradient: clip(x + ε·sign ∇ₓJ(θ, x, y)).

    Args:
        eps: radius of the ℓ∞ ball, in [0, 1].
        loss: a key of `LOSSES`.

    Source: Goodfellow, Shlens & Szegedy 2014 (arXiv:1412.6572), section 4; clipped to the pixel
    range.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps} is outside [0, 1]")
    return step_along(fgsm_direction(model, images, labels, loss=loss), images, eps)


def fgsm_direction(
    model: nn.Module, images: Tensor, labels: Tensor, *, loss: str = "cross_entropy"
) -> Tensor:
    """Compute sign ∇ₓJ(θ, x, y), (N, C, H, W): −1, 0 or 1, whatever ε is."""
    gradient, _ = input_gradient(model, images, labels, check_loss(loss))
    return gradient.sign_()
