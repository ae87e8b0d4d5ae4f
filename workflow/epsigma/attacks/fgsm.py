"""The fast gradient sign method."""

from torch import Tensor, nn

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
    gradient, _ = input_gradient(model, images, labels, check_loss(loss))
    return gradient.sign_().mul_(eps).add_(images).clamp_(0, 1)
