"""Unsharp masking."""

from torch import Tensor

from epsigma.filters.filter import Filter
from epsigma.filters.gaussian import Gaussian


class UnsharpMask(Filter):
    """Sharpen: x ← x + amount · (x − G x), clipped to [0, 1]; G smooths with a Gaussian.

    Where values are clipped the gradient is lost, as on most of a black background: an aware
    attacker takes that of what is not clipped (BPDA).

    Args:
        amount: how much of the difference is added; positive.
        sigma: standard deviation of the Gaussian, in pixels; positive.

    Source: Gonzalez & Woods, Digital Image Processing, section 3.6.
    """

    is_linear = False

    def __init__(self, *, amount: float, sigma: float = 1.0) -> None:
        super().__init__()
        if amount <= 0:
            raise ValueError(f"amount = {amount} is not positive")
        self.amount = amount
        self.smooth = Gaussian(sigma=sigma)

    def forward(self, images: Tensor) -> Tensor:
        """Sharpen images (N, C, H, W)."""
        return self.surrogate(images).clamp(0, 1)

    def formula(self, images: Tensor) -> Tensor:
        """Add the difference from the Gaussian's own formula."""
        sharp = (1 + self.amount) * images - self.amount * self.smooth.formula(images)
        return sharp.clamp(0, 1)

    def surrogate(self, images: Tensor) -> Tensor:
        """Leave out the clipping."""
        sharp: Tensor = images + self.amount * (images - self.smooth(images))
        return sharp
