"""Total-variation minimisation of what is left of an image."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter
from epsigma.filters.windows import uniform

# Steps of the solver up to a side of `SIDE` pixels and a weight of `LIGHT`, and of the formula's.
STEPS, FORMULA_STEPS, SIDE, LIGHT = 120, 3000, 28, 0.3
# Of the solver: what it charges for values and differences that are off, and its relaxation.
VALUES, DIFFERENCES, RELAXATION = 2.4, 3.0, 1.8


class TotalVariationDropout(Filter):
    """Drop random pixels, and find x of least total variation that is near what is left of z.

    x minimises ‖M(x − z)‖ + weight · TV(x): M drops, ‖·‖ is not squared, and TV(x) is the sum of
    the lengths of the differences of whole rows, each from the next, and of whole columns, each
    channel alone. Since the distance is not squared, a small weight leaves what is not dropped
    exactly as it is (up to 0.048 on 28 × 28 pixels), and the filter fills in.

    Solved by 120 steps of the alternating direction method of multipliers, in proportion more of
    images of more than 28 pixels a side and beyond a weight of 0.3; its linear system is diagonal
    in the basis of the cosine transform. It and the formula, another solver, differ by `tolerance`
    in a value at most. The minimiser of a single row, a single column or a few pixels need not be
    unique; both begin with the mean of what is kept.

    An aware attacker takes the gradient of a weighted mean in the place of each dropped pixel, over
    those of 5 × 5 around it that are left (BPDA), and the expectation over draws (EOT).

    Args:
        weight: of the total variation; positive.
        keep: probability of a value to be kept, in (0, 1]; each channel alone.
        generator: torch's global one if None.

    Source: Guo, Rana, Cisse & van der Maaten 2018 (arXiv:1711.00117), total variance minimization;
    `TotalVarMin` of ART. The solver: Boyd et al. 2011 (Distributed optimization and statistical
    learning via the alternating direction method of multipliers).
    """

    is_linear = False
    is_replayed = True
    tolerance = 2 / 255

    def __init__(
        self, *, weight: float, keep: float = 0.5, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if weight <= 0:
            raise ValueError(f"weight = {weight} is not positive")
        if not 0 < keep <= 1:
            raise ValueError(f"keep = {keep} is not within 0 and 1")
        self.weight = float(weight)
        self.keep = keep
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Fill in images (N, C, H, W) in [0, 1], which the minimiser does not leave."""
        return _minimise(images, self._draw(images), self.weight).clamp(0, 1)

    def formula(self, images: Tensor) -> Tensor:
        """Minimise by another algorithm, primal-dual (Chambolle & Pock 2011, algorithm 1)."""
        is_kept = self._draw(images)
        x = _fill_with_mean(images, is_kept)
        rows, columns, values = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        for _ in range(FORMULA_STEPS):
            flow = rows.roll(1, -2) - rows + columns.roll(1, -1) - columns
            moved = x - 0.99 * (flow + values * is_kept / self.weight) / (24 + 7.2)
            ahead, x = 2 * moved - x, moved
            down = torch.cat([ahead[..., 1:, :], ahead[..., -1:, :]], -2)
            right = torch.cat([ahead[..., 1:], ahead[..., -1:]], -1)
            rows = rows + 3 * (down - ahead)
            rows = rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp(min=1)
            columns = columns + 3 * (right - ahead)
            columns = columns / torch.linalg.vector_norm(columns, dim=-2, keepdim=True).clamp(min=1)
            values = values + 7.2 * self.weight * (ahead - images) * is_kept
            values = values / values.flatten(2).norm(dim=2)[..., None, None].clamp(min=1)
        return x

    def surrogate(self, images: Tensor) -> Tensor:
        """Put weighted means of what is left of 5 × 5 pixels in the place of the dropped ones."""
        is_kept = self._draw(images)
        share = _blur(is_kept.to(images.dtype)).clamp(min=1e-3)
        return torch.where(is_kept, images, _blur(images * is_kept) / share)

    def _draw(self, images: Tensor) -> Tensor:
        """Draw which values of images are kept."""
        return (uniform(self.generator, *images.shape) < self.keep).to(images.device)


def _fill_with_mean(images: Tensor, is_kept: Tensor) -> Tensor:
    """Put the mean of what is kept of a channel in the place of the rest."""
    count = is_kept.sum((-2, -1), keepdim=True).clamp(min=1)
    return torch.where(is_kept, images, (images * is_kept).sum((-2, -1), keepdim=True) / count)


def _blur(images: Tensor) -> Tensor:
    """Weigh 5 × 5 pixels by binomial coefficients; there are zeros beyond the border."""
    for _ in range(2):
        wide = functional.pad(images, [1, 1, 1, 1])
        across = wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]
        images = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 16
    return images


def _cosines(side: int) -> tuple[Tensor, Tensor]:
    """Make the matrix of the cosine transform (side, side), and the eigenvalues of DᵀD there."""
    index = torch.arange(side, dtype=torch.float64)
    matrix = torch.cos(math.pi * (2 * index + 1) * index[:, None] / (2 * side))
    matrix *= math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix, 2 - 2 * torch.cos(math.pi * index / side)


def _within(vectors: Tensor, dim: int | tuple[int, ...], radius: float) -> Tensor:
    """Project vectors along dimensions on a ball: what a shrinkage by its radius takes away."""
    length: Tensor = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return vectors * (radius / length.clamp(min=radius))


def _count_steps(images: Tensor, weight: float) -> int:
    """Count the steps of the solver, for images (N, C, H, W)."""
    return math.ceil(STEPS * max(1, max(images.shape[-2:]) / SIDE) * max(1, weight / LIGHT))


@torch.no_grad()
def _minimise(images: Tensor, is_kept: Tensor, weight: float) -> Tensor:
    """Minimise for images (N, C, H, W): values and differences are split from x, and drawn to it.

    `values`, `rows` and `columns` are those that are split, each with its multiplier added, which
    is what `taken` shrinkage takes away.
    """
    (high, of_rows), (wide, of_columns) = (_cosines(side) for side in images.shape[-2:])
    charged = VALUES + DIFFERENCES * (of_rows[:, None] + of_columns)
    high, wide, charged = (one.to(images) for one in (high, wide, charged))
    kept = is_kept.to(images.dtype)
    values = _fill_with_mean(images, is_kept)
    rows, columns = values.diff(dim=-2), values.diff(dim=-1)
    taken = [torch.zeros_like(one) for one in (values, rows, columns)]
    for _ in range(_count_steps(images, weight)):
        aim = VALUES * torch.sub(values, taken[0], alpha=2)
        down = DIFFERENCES * torch.sub(rows, taken[1], alpha=2)
        across = DIFFERENCES * torch.sub(columns, taken[2], alpha=2)
        aim[..., 1:, :] += down
        aim[..., :-1, :] -= down
        aim[..., 1:] += across
        aim[..., :-1] -= across
        x = high.mT @ ((high @ aim @ wide.mT) / charged) @ wide
        values = values.add(x - values + taken[0], alpha=RELAXATION)
        rows = rows.add(x.diff(dim=-2) - rows + taken[1], alpha=RELAXATION)
        columns = columns.add(x.diff(dim=-1) - columns + taken[2], alpha=RELAXATION)
        off = (values - images) * kept
        taken = [
            _within(off, (-2, -1), 1 / (VALUES * weight)),
            _within(rows, -1, 1 / DIFFERENCES),
            _within(columns, -2, 1 / DIFFERENCES),
        ]
    return values - taken[0]
