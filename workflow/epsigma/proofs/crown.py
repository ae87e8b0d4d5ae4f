"""Certified lower bounds of margins by linear relaxation (CROWN), in batches.

Source: Zhang, Weng, Chen, Hsieh & Daniel 2018 (arXiv:1811.00866), with the adaptive lower bound of
their section 3.3. The box is intersected with the pixel range, class differences are folded into
the last layer, and the bounds of hidden layers are CROWN's own, or intervals' where these are
tighter.

What "certified" means. Bounds are those of the network in exact arithmetic (float64, whose
rounding is a millionth of the next). The network that is attacked works in float32, and so do
attacks: an example is certified if the bound exceeds `float32_error`, and over a ball that is
wider by what the check `in_ball` forgives an attack.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from epsigma.proofs.network import Network
from epsigma.vocabulary import widen

NORMS = ("linf", "l2")
# What a sum of n terms rounds by in units of u: n at most, in any order, and at most λ·√n but with
# a probability of 2·n·exp(−λ²/2), if its roundings are independent and of mean zero (Higham & Mary
# 2019, A new approach to probabilistic rounding error analysis, theorems 2.4 and 3.1).
UNIT = 2.0**-24
LAMBDA = 8.0
# Examples at a time: their coefficients stay in a core's cache.
BATCH = 64


@dataclass(frozen=True)
class Region:
    """Where the attacked images are: a box, (N, D) float64, and, in ℓ2, a ball in it.

    Args:
        center: of the box.
        radius: of the box, a value each.
        images: the centres of the ball, which may not be those of the box.
        eps: radius of the ℓ2 ball; None if there is only the box.
    """

    center: Tensor
    radius: Tensor
    images: Tensor
    eps: float | None = None

    def minimum(self, rows: Tensor) -> Tensor:
        """Find the least value, or a lower bound of it, of linear functions.

        Args:
            rows: (N, S, D), the coefficients of S functions for each region.

        Returns:
            (N, S). Exact over the box, and over the ball if it is within the pixel range.
        """
        box = torch.einsum("nsd,nd->ns", rows, self.center)
        box = box - torch.einsum("nsd,nd->ns", rows.abs(), self.radius)
        if self.eps is None:
            return box
        ball = torch.einsum("nsd,nd->ns", rows, self.images)
        ball = ball - self.eps * torch.linalg.vector_norm(rows, dim=2)
        return torch.maximum(box, ball)

    def __getitem__(self, rows: Tensor | slice) -> "Region":
        """Pick some of the regions."""
        return Region(self.center[rows], self.radius[rows], self.images[rows], self.eps)


def make_region(images: Tensor, eps: float, norm: str = "linf") -> Region:
    """Make the ball around images, flattened (N, D) in [0, 1], within the pixel range.

    Raises:
        ValueError: if `norm` is none of `NORMS`, or `eps` is negative.
    """
    if norm not in NORMS:
        raise ValueError(f"norm = {norm!r} is none of {', '.join(NORMS)}")
    if not eps >= 0:
        raise ValueError(f"eps = {eps} is negative")
    images = images.double()
    wide = widen(eps)
    low, high = (images - wide).clamp_(min=0), (images + wide).clamp_(max=1)
    return Region((low + high) / 2, (high - low) / 2, images, wide if norm == "l2" else None)


@dataclass(frozen=True)
class Bounds:
    """Bounds of what a layer of rectified linear units is given: (N, n) each."""

    low: Tensor
    high: Tensor

    @property
    def unstable(self) -> Tensor:
        """Which units may be on or off; (N, n) bool."""
        return (self.low < 0) & (self.high > 0)

    def upper_line(self) -> tuple[Tensor, Tensor]:
        """Slope and intercept of the least line above max(z, 0) on [low, high]; (N, n) each."""
        low, high = self.low.clamp(max=0), self.high.clamp(min=0)
        slope = high / (high - low).clamp(min=torch.finfo(high.dtype).tiny)
        return slope, -low * slope

    def lower_slope(self) -> Tensor:
        """CROWN's slope through 0 below max(z, 0): 1 where most of [low, high] is above 0."""
        return (self.high > -self.low).to(self.low)


@dataclass(frozen=True)
class Lines:
    """Linear functions of the images below functions of what a layer returns.

    Args:
        rows: (N, S, D), coefficients of S functions for each example.
        constant: (N, S).
        of_units: their coefficients of what each layer of units returns, (N, S, n) a layer.
    """

    rows: Tensor
    constant: Tensor
    of_units: tuple[Tensor, ...]

    def minimum(self, region: Region) -> Tensor:
        """Find the least values over regions; (N, S)."""
        return region.minimum(self.rows) + self.constant


def relax(
    network: Network,
    rows: Tensor,
    bounds: Sequence[Bounds],
    slopes: Sequence[Tensor],
    tilts: Sequence[Tensor] | None = None,
) -> Lines:
    """Bound functions of what a layer returns from below, going back through the layers.

    Args:
        network: of which the first `len(bounds) + 1` layers count.
        rows: (N or 1, S, n), S linear functions of what the last of these layers returns.
        bounds: of the units, layer by layer.
        slopes: of the lower lines of the units, in [0, 1], (N, n) a layer; where a unit is stable
            its own slope.
        tilts: what is added to the coefficients of what units are given, (N, n) a layer.
    """
    last = network.layers[len(bounds)]
    constant, rows = rows @ last.bias, rows @ last.weight
    of_units: list[Tensor] = []
    for index in reversed(range(len(bounds))):
        of_units.insert(0, rows)
        upper, intercept = (value.unsqueeze(1) for value in bounds[index].upper_line())
        negative = rows.clamp(max=0)
        constant = constant + (negative @ intercept.mT).squeeze(2)
        rows = (rows - negative) * slopes[index].unsqueeze(1) + negative * upper
        if tilts is not None:
            rows = rows + tilts[index].unsqueeze(1)
        layer = network.layers[index]
        constant, rows = constant + rows @ layer.bias, rows @ layer.weight
    return Lines(rows, constant, tuple(of_units))


def bound_units(network: Network, region: Region) -> list[Bounds]:
    """Bound what each layer of rectified linear units is given, over regions of the images."""
    bounds: list[Bounds] = []
    slopes: list[Tensor] = []
    # What the layer is given: the images, then the units before it.
    center, radius = region.center, region.radius
    for index, layer in enumerate(network.layers[:-1]):
        middle, reach = layer(center), radius @ layer.weight.abs().T
        low, high = middle - reach, middle + reach
        if index or region.eps is not None:
            one = torch.eye(len(layer.bias), dtype=torch.float64).unsqueeze(0)
            lines = relax(network, torch.cat((one, -one), 1), bounds, slopes)
            below, above = lines.minimum(region).chunk(2, dim=1)
            low, high = torch.maximum(low, below), torch.minimum(high, -above)
        bounds.append(Bounds(low, high))
        slopes.append(bounds[-1].lower_slope())
        center, radius = (high.relu() + low.relu()) / 2, (high.relu() - low.relu()) / 2
    return bounds


def float32_error(network: Network, region: Region, bounds: list[Bounds]) -> Tensor:
    """Bound how far logits in float32 are from those in exact arithmetic; (N, K).

    Each layer that the network was made of rounds as `bound_rounding` says, and what it is given
    is as far off as those before it have left it. A filter counts as one matrix.
    """
    largest = region.center + region.radius
    error: Tensor | None = None
    for index, layer in enumerate(network.layers):
        sums = layer.magnitudes
        if error is not None:
            largest = bounds[index - 1].high.relu() + error
        rounding = (largest @ sums.weight.T + sums.bias) * bound_rounding(sums.terms)
        error = rounding if error is None else error @ layer.weight.abs().T + rounding
    assert error is not None
    return error


def bound_rounding(terms: Sequence[int]) -> float:
    """Bound the relative error of sums in float32 that follow each other, of so many terms each.

    Relative to what they add up to without signs. Certain of sums of up to λ² terms (`LAMBDA`); of
    longer ones it fails as seldom as Higham & Mary say. For n = 785 that is 2·10⁻¹¹ a sum, and
    5·10⁻⁴ that any of 58 sums does of 10,000 images in 40 cells.
    """
    rest = UNIT**2 / (1 - UNIT)
    return math.expm1(sum(min(n, LAMBDA * n**0.5) * UNIT + n * rest for n in terms))


def difference_rows(labels: Tensor, classes: int) -> Tensor:
    """Write the margins Z_y − Z_j as functions of the logits: (N, K, K), zero where j is y."""
    one = torch.eye(classes, dtype=torch.float64)
    return one[labels].unsqueeze(1) - one


def bound_margins(
    network: Network, images: Tensor, labels: Tensor, *, eps: float, norm: str = "linf"
) -> tuple[Tensor, Tensor]:
    """Bound all margins from below over the ball of radius ε around each image, within [0, 1].

    Args:
        network: of `fold`.
        images: (N, C, H, W) in [0, 1], or flattened.
        labels: (N,) int64.
        eps: radius of the ball.
        norm: one of `NORMS`. The ℓ2 ball is bounded by itself and by the box around it.

    Returns:
        (N, K) float64: a number that no Z_y − Z_j falls below; +∞ where j is y. And (N, K), how
        far each margin may be off in float32: beyond it, the bound is a proof.
    """
    lower, error = [], []
    for some, label in _batches(images.flatten(1), labels):
        region = make_region(some, eps, norm)
        bounds = bound_units(network, region)
        rows = difference_rows(label, len(network.layers[-1].bias))
        lines = relax(network, rows, bounds, [one.lower_slope() for one in bounds])
        at = label.unsqueeze(1)
        lower.append(lines.minimum(region).scatter_(1, at, torch.inf))
        off = float32_error(network, region, bounds)
        error.append(off + off.gather(1, at))
    return torch.cat(lower), torch.cat(error)


def certify(
    network: Network, images: Tensor, labels: Tensor, *, eps: float, norm: str = "linf"
) -> tuple[Tensor, Tensor]:
    """Prove of images that nothing in the ball of radius ε is misclassified, arguments as above.

    Returns:
        (N,) float64, the least bound of a margin after what float32 may be off; and (N,) bool,
        whether it is positive: a proof.
    """
    lower, error = bound_margins(network, images, labels, eps=eps, norm=norm)
    least = (lower - error).amin(1)
    return least, least > 0


def _batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True)
