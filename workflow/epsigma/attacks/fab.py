"""The fast adaptive boundary attack (FAB-T), in ℓ∞ and ℓ2."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import L2, LINF
from epsigma.attacks.gradient import make_finite
from epsigma.attacks.hyperplane import move_onto_hyperplane
from epsigma.attacks.losses import clear_margin, margin
from epsigma.detectors.rejection import attacked_logits

# The paper's: the largest bias towards the image, how far a step goes beyond the hyperplane, how
# much of the way is kept of a step back, and the points that the final search looks at.
ALPHA_MAX, ETA, BETA, FINAL_SEARCH = 0.1, 1.05, 0.9, 3
# The share of the outer end's margin that the final search aims at, so as to be beyond 0.
SHY = 0.01
# Nothing to divide by.
_TINY = 1e-30


def fab(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 1,
    target_classes: int = 9,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Search for the nearest decision boundary in ℓ∞, towards one class after the other.

    A step linearises the lead of the true class over the target, goes from where it is to the
    nearest point of that hyperplane in the pixel range, mixed with the image's own nearest point,
    and a little beyond. From a misclassified point a tenth of the way to the image is taken back.
    Nothing depends on ε but when to stop: an example is done as soon as a misclassified point is
    within ε. What found some, but farther ones only, ends with a search on the segment between the
    nearest and the image.

    Args:
        eps: radius of the ball, in [0, 1].
        steps: how many, for each target and restart.
        restarts: runs towards each target. The first is from the image, the others from points
            drawn uniformly from the ball around it of half of ε.
        target_classes: how many classes to aim at: the wrong ones that are the most probable on
            the image, at most all of them.

    Returns:
        (N, C, H, W): of each example a misclassified image within ε, or, if none was found or the
        example is misclassified as it is, the image itself.

    Source: Croce & Hein 2020 (arXiv:1907.02044), algorithm 1; targeted as in their AutoAttack
    (arXiv:2003.01690), section 5.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps} is outside [0, 1]")
    search = _Search(model, "linf", eps, steps, restarts, target_classes)
    return search.run(images, labels, generator)


def fab_l2(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 1,
    target_classes: int = 9,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Search for the nearest decision boundary in ℓ2, as `fab`; any ε."""
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps} is no finite number from 0 on")
    search = _Search(model, "l2", eps, steps, restarts, target_classes)
    return search.run(images, labels, generator)


def _measure(delta: Tensor, norm: str) -> Tensor:
    """Return the norms (M,) of perturbations (M, D)."""
    return delta.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(delta, dim=1)


@dataclass(frozen=True)
class _Rows:
    """What is still worked on: examples' images (M, C, H, W), labels and places in the batch."""

    images: Tensor
    labels: Tensor
    at: Tensor

    def __getitem__(self, part: Tensor) -> "_Rows":
        return _Rows(self.images[part], self.labels[part], self.at[part])

    def shape(self, flat: Tensor) -> Tensor:
        """View (M, D) as images."""
        return flat.view(len(flat), *self.images.shape[1:])


@dataclass(frozen=True)
class _Search:
    """How it is searched; the fields are the arguments of `fab`, and the norm."""

    model: nn.Module
    norm: str
    eps: float
    steps: int
    restarts: int
    target_classes: int

    def __post_init__(self) -> None:
        for name in ("steps", "restarts", "target_classes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is less than 1")

    def run(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        """Search for each example from each start towards each target, until it is found."""
        result = images.clone()
        if self.eps == 0:
            return result
        with torch.no_grad():
            logits = attacked_logits(self.model, images, labels)
        count = min(self.target_classes, logits.shape[1] - 1)
        wrong = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
        targets = wrong.argsort(1, descending=True)[:, :count]
        at = (logits.argmax(1) == labels).nonzero().squeeze(1)
        for restart in range(self.restarts):
            for rank in range(count):
                if not len(at):
                    return result
                rows = _Rows(images[at], labels[at], at)
                start = rows.images
                if restart:
                    start = self._draw_start(start, generator)
                self._approach(rows, targets[at, rank], start, result)
                at = at[(result[at] == rows.images).flatten(1).all(1)]
        return result

    def _draw_start(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        ball = LINF if self.norm == "linf" else L2
        delta = ball.start(torch.empty_like(images), self.eps / 2, generator)
        return delta.add_(images).clamp_(0, 1)

    def _approach(self, rows: _Rows, targets: Tensor, start: Tensor, result: Tensor) -> None:
        """Run from a start (M, C, H, W) towards targets (M,); put what is found into `result`."""
        x, origin = start.flatten(1), rows.images.flatten(1)
        nearest, length = origin.clone(), origin.new_full((len(origin),), torch.inf)
        for _ in range(self.steps):
            x = self._step(x, origin, rows, targets)
            crossed, fooled = self._look(rows, x)
            distance = _measure(x - origin, self.norm)
            found = fooled & (distance <= self.eps)
            if found.any():
                result[rows.at[found]] = rows.shape(x)[found]
                if found.all():
                    return
                left = ~found
                rows, targets, x, origin = rows[left], targets[left], x[left], origin[left]
                nearest, length, crossed, fooled, distance = (
                    kept[left] for kept in (nearest, length, crossed, fooled, distance)
                )
            nearer = (fooled & (distance < length)).unsqueeze(1)
            nearest = torch.where(nearer, x, nearest)
            length = torch.where(nearer.squeeze(1), distance, length)
            # Also where the margin is positive and not clear: else it stays at the boundary.
            x = torch.where(crossed.unsqueeze(1), torch.lerp(origin, x, BETA), x)
        reached = length < torch.inf
        if reached.any():
            self._search_segment(rows[reached], nearest[reached], result)

    def _step(self, x: Tensor, origin: Tensor, rows: _Rows, targets: Tensor) -> Tensor:
        """Step from x (M, D) towards the hyperplane, biased towards the image."""
        gradient, value = self._linearise(x, rows, targets)
        both = torch.cat([x, origin])
        values = torch.cat([value, value + torch.linalg.vecdot(gradient, origin - x)])
        move = move_onto_hyperplane(both, gradient.repeat(2, 1), values, self.norm)
        own, images = _measure(move, self.norm).chunk(2)
        alpha = own.div_((own + images).clamp_(min=_TINY)).clamp_(max=ALPHA_MAX).unsqueeze(1)
        beyond, from_image = both.add_(move, alpha=ETA).chunk(2)
        return torch.lerp(beyond, from_image, alpha).clamp_(0, 1)

    def _linearise(self, x: Tensor, rows: _Rows, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the lead of the targets over the true classes, (M,), and its gradient (M, D)."""
        inputs = rows.shape(x).detach().requires_grad_()
        with torch.enable_grad():
            logits = attacked_logits(self.model, inputs, rows.labels)
            classes = torch.stack([targets, rows.labels], 1)
            aimed, own = logits.gather(1, classes).unbind(1)
            value = aimed - own
            (gradient,) = torch.autograd.grad(value.sum(), inputs)
        return make_finite(gradient).flatten(1), value.detach()

    def _search_segment(self, rows: _Rows, x: Tensor, result: Tensor) -> None:
        """Look for points within ε between the images and misclassified ones, x (M, D).

        Each is where the margin would be next to 0 if it were linear in what is left.
        """
        origin = rows.images.flatten(1)
        ends = torch.zeros_like(x[:, :1]), torch.ones_like(x[:, :1])
        leads = tuple(self._lead(rows, one).unsqueeze(1) for one in (origin, x))
        for _ in range(FINAL_SEARCH):
            (low, high), (below, above) = ends, leads
            aim = (above * SHY - below) / (above - below).clamp_(min=_TINY)
            part = torch.lerp(low, high, aim)
            point = torch.lerp(origin, x, part)
            lead = self._lead(rows, point).unsqueeze(1)
            over = lead > 0
            ends = torch.where(over, low, part), torch.where(over, part, high)
            leads = torch.where(over, below, lead), torch.where(over, lead, above)
        # Where the outer end is now, the margin has been seen to be positive.
        point = torch.lerp(origin, x, ends[1])
        found = _measure(point - origin, self.norm) <= self.eps
        result[rows.at[found]] = rows.shape(point)[found]

    @torch.no_grad()
    def _look(self, rows: _Rows, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mark the points (M, D) that are misclassified, and those that clearly are: (M,) each."""
        logits = attacked_logits(self.model, rows.shape(x), rows.labels)
        crossed, fooled = (found(logits, rows.labels) > 0 for found in (margin, clear_margin))
        return crossed, fooled

    @torch.no_grad()
    def _lead(self, rows: _Rows, x: Tensor) -> Tensor:
        """Compute by how much the points (M, D) are misclassified, as whatever class: (M,)."""
        return clear_margin(attacked_logits(self.model, rows.shape(x), rows.labels), rows.labels)
