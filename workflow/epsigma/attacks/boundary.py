"""Walks along a decision boundary by labels alone: what HopSkipJump is made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import l2_norms, normalise
from epsigma.detectors.rejection import REJECTED, attacked_logits
from epsigma.storage.batches import batches

# Draws of the first estimate of a gradient; the t-th has √t times as many (the paper's).
FIRST_DRAWS = 100
# An estimate of fewer is not worth a step.
LEAST_DRAWS = 10
# Images of noise that are tried as a start.
TRIES = 20
# Halvings of an interval: at least, and at most, for float32 tells no more points apart.
HALVINGS = (8, 17)
# Step sizes that are tried, each half of the one before, and how many a step takes as a rule.
SIZES, USUAL_SIZES = 8, 3
# By this share the result is farther out than the nearest point met, so as to be misclassified in
# a batch of another size, too.
SHY = 1e-4
# Nothing to divide by.
_TINY = 1e-30


@dataclass(frozen=True)
class WalkNorm:
    """What a norm decides; δ is (M, D), shares and distances are (M, 1).

    Args:
        order: of the norm.
        approach: δ' of the image nearer than δ: at the share of its norm.
        draw: fills an empty tensor, in place, with a random direction.
        direct: makes, in place, a step of norm 1 out of a gradient.
        reach: how far from x an estimate asks, in ℓ2: this / √D of the distance, at most all of it.
    """

    order: float
    approach: Callable[[Tensor, Tensor], Tensor]
    draw: Callable[[Tensor, torch.Generator | None], Tensor]
    direct: Callable[[Tensor], Tensor]
    reach: float

    def measure(self, delta: Tensor) -> Tensor:
        """Return the norms (M, 1) of δ."""
        norms: Tensor = torch.linalg.vector_norm(delta, ord=self.order, dim=1, keepdim=True)
        return norms


def _clip(delta: Tensor, share: Tensor) -> Tensor:
    bound = delta.abs().amax(1, keepdim=True) * share
    return torch.clamp(delta, -bound, bound)


def _draw_from_box(draws: Tensor, generator: torch.Generator | None) -> Tensor:
    return draws.uniform_(-1, 1, generator=generator)


def _draw_from_normal(draws: Tensor, generator: torch.Generator | None) -> Tensor:
    return draws.normal_(generator=generator)


LINF = WalkNorm(math.inf, _clip, _draw_from_box, Tensor.sign_, reach=8)
L2 = WalkNorm(2, torch.mul, _draw_from_normal, normalise, reach=3)


@dataclass(frozen=True)
class Walk:
    """A walk for each of M images of D values; rows say which of them something is of.

    Args:
        shape: (C, H, W).
        origin: (M, D), the images.
        labels: (M,), their classes.
        x: (M, D), a misclassified point of each, next to the boundary; the image if there is none.
        nearest: (M, D), the nearest misclassified point so far.
        length: (M, 1), its distance, infinite if there is none.
        left: (M,), queries that are left.
        halvings: of an interval, to find the boundary.
    """

    norm: WalkNorm
    model: nn.Module
    generator: torch.Generator | None
    shape: torch.Size
    origin: Tensor
    labels: Tensor
    x: Tensor
    nearest: Tensor
    length: Tensor
    left: Tensor
    halvings: int

    @classmethod
    def begin(
        cls,
        norm: WalkNorm,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        queries: int,
        generator: torch.Generator | None,
    ) -> "Walk":
        """Prepare walks for images (M, C, H, W) that are classified correctly."""
        origin = images.flatten(1)
        least, most = HALVINGS
        halvings = math.ceil(1.5 * math.log2(origin.shape[1]))
        return cls(
            norm=norm,
            model=model,
            generator=generator,
            shape=images.shape[1:],
            origin=origin,
            labels=labels,
            x=origin.clone(),
            nearest=origin.clone(),
            length=torch.full_like(origin[:, :1], torch.inf),
            left=torch.full_like(labels, queries),
            halvings=min(max(halvings, least), most),
        )

    def start(self, others: Tensor, classes: Tensor) -> None:
        """Find a misclassified point of each row: noise, or one of some images (N, D) of classes.

        The nearest that is accepted, and not of the row's class, is tried.
        """
        rows = torch.arange(len(self.labels), device=self.labels.device)
        for _ in range(TRIES):
            rows = rows[self.left[rows] > 0]
            if not len(rows):
                break
            noise = torch.empty_like(self.origin[rows]).uniform_(generator=self.generator)
            rows = self._begin_at(rows, noise)
        rows = rows[self.left[rows] > 0]
        if len(rows):
            distance = torch.cdist(self.origin[rows], others, p=self.norm.order)
            is_start = (self.labels[rows].unsqueeze(1) != classes) & (classes != REJECTED)
            distance[~is_start] = torch.inf
            away, nearest = distance.min(1)
            found = away.isfinite()
            self._begin_at(rows[found], others[nearest[found]])
        rows = self.length.isfinite().squeeze(1).nonzero().squeeze(1)
        self._approach(rows, self.x[rows])

    def _begin_at(self, rows: Tensor, points: Tensor) -> Tensor:
        """Take the misclassified points (R, D) as the rows' start; return the other rows."""
        fooled = self._ask(rows, points)
        self._move(rows[fooled], points[fooled])
        return rows[~fooled]

    def step(self, number: int) -> bool:
        """Step along the boundary, the first time, the second, …; False if no query is left."""
        reserve = self.halvings + USUAL_SIZES + 1
        can_go = self.length.isfinite().squeeze(1) & (self.left >= reserve + LEAST_DRAWS)
        rows = can_go.nonzero().squeeze(1)
        if not len(rows):
            return False
        usual = int(FIRST_DRAWS * math.sqrt(number))
        most = self.left[rows] - reserve
        # What would not do for half a step more is spent now.
        draws = torch.where(most < 1.5 * usual + reserve, most, usual)
        direction = self.norm.direct(self._estimate(rows, draws))
        size = self.norm.measure(self.x[rows] - self.origin[rows]) / math.sqrt(number)
        points, found = self._leap(rows, direction, size)
        self._approach(rows[found], points[found])
        return True

    def _estimate(self, rows: Tensor, draws: Tensor) -> Tensor:
        """Estimate the gradient of the margin at each row's x, (R, D), from draws (R,)."""
        x = self.x[rows]
        share = min(self.norm.reach * x.shape[1] ** -0.5, 1)
        radius = self.norm.measure(x - self.origin[rows]).mul_(share)
        moves, signed, signs = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(radius)
        for (part,) in batches(torch.repeat_interleave(draws)):
            around = x[part]
            points = self.norm.draw(torch.empty_like(around), self.generator)
            points.mul_(radius[part] / l2_norms(points).clamp_(min=_TINY)).add_(around).clamp_(0, 1)
            sign = self._ask(rows[part], points).to(x).mul_(2).sub_(1).unsqueeze(1)
            move = points.sub_(around)
            moves.index_add_(0, part, move)
            signed.index_add_(0, part, move * sign)
            signs.index_add_(0, part, sign)
        mean = signs / draws.unsqueeze(1)
        # Where all agree, the mean says nothing of how they differ.
        return signed.sub_(moves.mul_(torch.where(mean.abs() == 1, 0, mean)))

    def _leap(self, rows: Tensor, direction: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Go from each row's x along directions (R, D) as far as sizes (R, 1), or half of it.

        And so on, until the point is misclassified.

        Returns:
            (R, D), and which of them are misclassified, (R,).
        """
        points, found = self.x[rows].clone(), torch.zeros_like(rows, dtype=torch.bool)
        size = size.clone()
        for _ in range(SIZES):
            at = (~found & (self.left[rows] > self.halvings + 1)).nonzero().squeeze(1)
            if not len(at):
                break
            points[at] = (self.x[rows[at]] + size[at] * direction[at]).clamp_(0, 1)
            found[at] = self._ask(rows[at], points[at])
            size /= 2
        return points, found

    def _approach(self, rows: Tensor, points: Tensor) -> None:
        """Go from misclassified points (R, D) towards the images until next to the boundary."""
        can_go = self.left[rows] >= self.halvings
        rows, points = rows[can_go], points[can_go]
        if not len(rows):
            return
        origin = self.origin[rows]
        delta = points - origin
        low, high = torch.zeros_like(delta[:, :1]), torch.ones_like(delta[:, :1])
        for _ in range(self.halvings):
            middle = (low + high) / 2
            fooled = self._ask(rows, self.norm.approach(delta, middle).add_(origin)).unsqueeze(1)
            low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
        self._move(rows, self.norm.approach(delta, high).add_(origin))

    def step_back(self) -> None:
        """Go from the nearest points a little away from the boundary, where they can."""
        rows = (self.length.isfinite().squeeze(1) & (self.left > 0)).nonzero().squeeze(1)
        if not len(rows):
            return
        origin = self.origin[rows]
        points = torch.lerp(origin, self.nearest[rows], 1 + SHY).clamp_(0, 1)
        fooled = self._ask(rows, points)
        rows, points = rows[fooled], points[fooled]
        self.nearest[rows] = points
        self.length[rows] = self.norm.measure(points - self.origin[rows])

    def _move(self, rows: Tensor, points: Tensor) -> None:
        """Let the rows be at misclassified points (R, D), and keep the nearest."""
        length = self.norm.measure(points - self.origin[rows])
        self.x[rows] = points
        nearer = (length < self.length[rows]).squeeze(1)
        self.nearest[rows[nearer]], self.length[rows[nearer]] = points[nearer], length[nearer]

    def _ask(self, rows: Tensor, points: Tensor) -> Tensor:
        """Ask which points (Q, D) of rows (Q,), each any number of times, are misclassified."""
        self.left.index_add_(0, rows, torch.full_like(rows, -1))
        labels = self.labels[rows]
        shaped = points.view(-1, *self.shape)
        asked = [
            attacked_logits(self.model, *part).argmax(1) != part[1]
            for part in batches(shaped, labels)
        ]
        return torch.cat(asked) if asked else torch.zeros_like(labels, dtype=torch.bool)
