"""Auto-PGD: projected gradient ascent that chooses its step sizes itself, in ℓ∞ and ℓ2."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import L2, LINF, Ball, Projection
from epsigma.attacks.gradient import differentiate, find_loss
from epsigma.attacks.losses import LOSSES, TARGETED_LOSSES, clear_margin
from epsigma.detectors.rejection import attacked_logits

# The paper's: the weight of the newest step, and the share of steps that have to raise the loss.
MOMENTUM, RHO = 0.75, 0.75
# The first step sizes, in ε.
REACH = 2.0

OnStep = Callable[[Tensor], None]


def checkpoints(steps: int) -> Iterator[int]:
    """Yield after how many of the steps their size is reviewed: ⌈p·steps⌉ of the paper's p.

    p₁ = 0.22, and each period is 0.03 shorter than the one before, and no shorter than 0.06.
    """
    # In hundredths, which are exact.
    share, period = 0, 22
    while (share := share + period) < 100:
        yield -(-share * steps // 100)
        period = max(period - 3, 6)


def apgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 1,
    loss: str = "cross_entropy",
    target_classes: int = 9,
    early_stop: bool = True,
    on_step: OnStep | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ascend the loss in the ℓ∞ ball, with momentum, by steps that are halved where it stalls.

    x⁺ = Π(x + 0.75·(z − x) + 0.25·(x − x⁻)), z = Π(x + η·sign ∇ₓf). At checkpoints η, of each
    example its own and 2ε at first, is halved, and the ascent goes on from the best point so far,
    if fewer than 75 % of the steps since the last one raised the loss f, or if η was not halved
    there and the best loss has stayed the same. An example that is misclassified when clean is
    returned as it is.

    Args:
        eps: radius of the ball, in [0, 1].
        steps: how many, in each run.
        restarts: runs, each from a uniformly drawn point of the ball (clipped to the pixel range).
        loss: a key of `LOSSES`; or one of `TARGETED_LOSSES`, with so many runs for each target.
            `dlr` needs three classes, `targeted_dlr` four: with fewer, a ValueError.
        target_classes: of a targeted loss: how many classes to aim at, the wrong ones that are the
            most probable on the image; at most all of them.
        early_stop: an example is done as soon as it is misclassified. If not, all steps of all runs
            are made: a random model, of which this is the mean, may think otherwise next time.

    Returns:
        (N, C, H, W): of each example the misclassified point of the largest loss (with
        `early_stop` the first one); where there was none, the point of the largest loss.

    Source: Croce & Hein 2020 (arXiv:2003.01690), section 3, algorithm 1; the losses are those of
    its section 4.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps} is outside [0, 1]")
    how = (steps, restarts, loss, target_classes, early_stop, on_step, generator)
    return _Ascent(model, LINF, eps, *how).run(images, labels)


def apgd_l2(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 1,
    loss: str = "cross_entropy",
    target_classes: int = 9,
    early_stop: bool = True,
    on_step: OnStep | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ascend the loss in the ℓ2 ball: z = Π(x + η·∇ₓf / ‖∇ₓf‖₂), else as `apgd`; any ε."""
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps} is no finite number from 0 on")
    how = (steps, restarts, loss, target_classes, early_stop, on_step, generator)
    return _Ascent(model, L2, eps, *how).run(images, labels)


@dataclass
class _Rows:
    """The rows that are still worked on: tensors of M rows each.

    `at` are their places in the batch, `targets` the classes aimed at (the true ones if the loss
    has no target), `before` where they were a step ago, `best` the points of the largest loss,
    which is `highest`, and was `reviewed` at the last checkpoint. `rises` steps have raised the
    loss since then, and `halved` says whether `size`, the step's, (M, 1, 1, 1), was halved there.
    """

    at: Tensor
    labels: Tensor
    targets: Tensor
    origin: Tensor
    x: Tensor
    before: Tensor
    direction: Tensor
    best: Tensor
    best_direction: Tensor
    loss: Tensor
    highest: Tensor
    reviewed: Tensor
    rises: Tensor
    halved: Tensor
    size: Tensor

    def __getitem__(self, part: Tensor) -> "_Rows":
        return _Rows(*(getattr(self, field.name)[part] for field in fields(self)))


@dataclass(frozen=True)
class _Ascent:
    """How the loss is ascended; the fields are the arguments of `apgd`, and the ball."""

    model: nn.Module
    ball: Ball
    eps: float
    steps: int
    restarts: int
    loss: str
    target_classes: int
    early_stop: bool
    on_step: OnStep | None
    generator: torch.Generator | None

    def __post_init__(self) -> None:
        for name in ("steps", "restarts", "target_classes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is less than 1")
        if self.loss not in (*LOSSES, *TARGETED_LOSSES):
            known = ", ".join((*LOSSES, *TARGETED_LOSSES))
            raise ValueError(f"loss = {self.loss!r} is none of {known}")

    def run(self, images: Tensor, labels: Tensor) -> Tensor:
        """Ascend from each start, towards each target, and keep the best result of each example."""
        with torch.no_grad():
            logits = attacked_logits(self.model, images, labels)
            # Refuses too few classes before anything is done.
            find_loss(self.loss)(logits, labels)
        left = logits.argmax(1) == labels
        kept = _Kept(images.clone(), logits.new_full(labels.shape, -torch.inf), ~left)
        for targets in self._aim(logits, labels):
            for _ in range(self.restarts):
                at = left.nonzero().squeeze(1)
                if not len(at):
                    return kept.images
                self._climb(images[at], labels[at], targets[at], at, kept)
                if self.early_stop:
                    left = ~kept.fooled
        return kept.images

    def _aim(self, logits: Tensor, labels: Tensor) -> Iterator[Tensor]:
        """Yield classes (N,) to aim at, by falling logits; once the true ones if none is."""
        if self.loss not in TARGETED_LOSSES:
            yield labels
            return
        wrong = logits.scatter(1, labels.unsqueeze(1), -torch.inf)
        count = min(self.target_classes, logits.shape[1] - 1)
        yield from wrong.topk(count).indices.T

    def _climb(
        self, images: Tensor, labels: Tensor, targets: Tensor, at: Tensor, kept: "_Kept"
    ) -> None:
        """Make a run from a random start; all but `kept` have a row for each of `at`."""
        rows = self._start(images, labels, targets, at)
        project = self.ball.projection(rows.origin, self.eps)
        reviews, period = set(checkpoints(self.steps)), 0
        for step in range(self.steps + 1):
            if step:
                self._step(rows, project, is_first=step == 1)
            wrong = self._look(rows, is_last=step == self.steps)
            kept.keep(rows.at[wrong], rows.x[wrong], rows.loss[wrong], fooled=True)
            if self.early_stop and wrong.any():
                rows = rows[~wrong]
                project = self.ball.projection(rows.origin, self.eps)
            if not len(rows.at):
                return
            if self.on_step:
                self.on_step(rows.loss)
            period += step > 0
            self._improve(rows)
            if step in reviews:
                self._review(rows, period)
                period = 0
        kept.keep(rows.at, rows.best, rows.highest, fooled=False)

    def _start(self, images: Tensor, labels: Tensor, targets: Tensor, at: Tensor) -> _Rows:
        """Draw a start for each row."""
        x = self.ball.start(torch.empty_like(images), self.eps, self.generator)
        x.add_(images).clamp_(0, 1)
        low = x.new_full(labels.shape, -torch.inf)
        return _Rows(
            at=at,
            labels=labels,
            targets=targets,
            origin=images,
            x=x,
            before=x,
            direction=x,
            best=x.clone(),
            best_direction=torch.zeros_like(x),
            # The start is no rise.
            loss=-low,
            highest=low,
            reviewed=low,
            rises=torch.zeros_like(labels),
            # Nothing has stayed the same before the first checkpoint.
            halved=torch.ones_like(labels, dtype=torch.bool),
            size=x.new_full((len(x), 1, 1, 1), REACH * self.eps),
        )

    def _step(self, rows: _Rows, project: Projection, *, is_first: bool) -> None:
        """Step along the directions, with momentum."""
        x = project(torch.addcmul(rows.x, rows.size, rows.direction))
        if not is_first:
            x = torch.lerp(rows.x, x, MOMENTUM)
            x = project(x.add_(rows.x - rows.before, alpha=1 - MOMENTUM))
        rows.before, rows.x = rows.x, x

    def _look(self, rows: _Rows, *, is_last: bool) -> Tensor:
        """Compute the loss and the direction at x; return which is misclassified, (M,) bool."""
        function = find_loss(self.loss, rows.targets)
        if is_last:
            with torch.no_grad():
                logits = attacked_logits(self.model, rows.x, rows.labels)
                loss = function(logits, rows.labels)
        else:
            gradient, logits, loss = differentiate(self.model, rows.x, rows.labels, function)
            rows.direction = self.ball.direction(gradient)
        rows.rises = rows.rises + (loss > rows.loss)
        rows.loss = loss
        return clear_margin(logits, rows.labels) > 0

    def _improve(self, rows: _Rows) -> None:
        """Keep the points of a larger loss than before, and the directions there."""
        better = rows.loss > rows.highest
        rows.highest = torch.where(better, rows.loss, rows.highest)
        mask = better.view(-1, 1, 1, 1)
        torch.where(mask, rows.x, rows.best, out=rows.best)
        torch.where(mask, rows.direction, rows.best_direction, out=rows.best_direction)

    def _review(self, rows: _Rows, period: int) -> None:
        """Halve step sizes, and go back to the best point, at a checkpoint after `period` steps."""
        stalled = ~rows.halved & (rows.reviewed >= rows.highest)
        halved = (rows.rises < RHO * period) | stalled
        rows.halved, rows.reviewed, rows.rises = halved, rows.highest, torch.zeros_like(rows.rises)
        mask = halved.view(-1, 1, 1, 1)
        rows.size = torch.where(mask, rows.size / 2, rows.size)
        rows.x = torch.where(mask, rows.best, rows.x)
        rows.direction = torch.where(mask, rows.best_direction, rows.direction)
        rows.loss = torch.where(halved, rows.highest, rows.loss)


@dataclass(frozen=True)
class _Kept:
    """What is returned of each example (N), the loss there, and whether it is misclassified."""

    images: Tensor
    heights: Tensor
    fooled: Tensor

    def keep(self, at: Tensor, x: Tensor, loss: Tensor, *, fooled: bool) -> None:
        """Keep the points x of the examples `at` that are better than what is kept of them."""
        same = self.fooled[at] == fooled
        better = (same & (loss > self.heights[at])) | (~same if fooled else same.new_zeros(()))
        if better.any():
            rows = at[better]
            self.images[rows], self.heights[rows] = x[better], loss[better]
            self.fooled[rows] = fooled
