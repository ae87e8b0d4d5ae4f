"""Projected gradient descent, in the ℓ∞ and the ℓ2 ball."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from epsigma.attacks.balls import L2, LINF, Ball, normalise
from epsigma.attacks.gradient import check_loss, input_gradient
from epsigma.attacks.losses import LOSSES, clear_margin
from epsigma.detectors.rejection import attacked_logits

# What step_size is, times eps / steps, if it is not given (Madry et al. 2018, section 5.1).
REACH = 2.5
# What it is in the ℓ2 ball at least, times eps. Each projection onto the sphere shrinks what was
# there before, by 1 / (1 + α/ε): of steps of 2.5 ε in all, however many, e^-2.5 of the start stays.
LEAST_L2 = 0.1

OPTIMIZERS = ("steepest", "adam")
# Adam's, as Kingma & Ba (2015) have them.
_BETA1, _BETA2, _ADAM_EPS = 0.9, 0.999, 1e-8

OnStep = Callable[[Tensor], None]
# From the gradient of some rows, and which of all rows they are, to their step of length about 1.
Direction = Callable[[Tensor, Tensor | slice], Tensor]


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 40,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    early_stop: bool = False,
    optimizer: str = "steepest",
    loss: str = "cross_entropy",
    on_step: OnStep | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ascend the loss in the ℓ∞ ball: x ← Π(x + α·sign ∇ₓJ(θ, x, y)), steps times.

    Π projects onto the ball, then onto the pixel range.

    Args:
        eps: radius of the ball, in [0, 1].
        steps: how many.
        step_size: α, in the units of `eps`; if None, 2.5·ε / steps.
        random_start: start at a uniformly drawn point of the ball (clipped to the pixel range).
        restarts: runs; without `random_start` they would all be the same, and one is made. Of
            each example the first misclassified result counts, else the one of the largest loss.
        early_stop: an example that is misclassified is left alone from then on.
        optimizer: `steepest`, the steepest step of length α in the norm; or `adam`, whose steps of
            about α a value remember the gradients before: where these turn at every step, as at
            the edge of what a detector accepts, it gets on.
        loss: a key of `LOSSES`.

    Source: Madry, Makelov, Schmidt, Tsipras & Vladu 2018 (arXiv:1706.06083), section 2.1; in ℓ2 the
    steepest ascent is along the gradient itself (their appendix). With Adam, Uesato, O'Donoghue,
    van den Oord & Kohli 2018 (arXiv:1802.05666), section 4.
    """
    if not 0 <= eps <= 1:
        raise ValueError(f"eps = {eps} is outside [0, 1]")
    how = (steps, step_size, random_start, restarts, early_stop, optimizer, loss, on_step)
    return _Ascent(LINF, eps, *how).run(model, images, labels, generator)


def pgd_l2(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 40,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    early_stop: bool = False,
    optimizer: str = "steepest",
    loss: str = "cross_entropy",
    on_step: OnStep | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ascend the loss in the ℓ2 ball: x ← Π(x + α·∇ₓJ(θ, x, y) / ‖∇ₓJ‖₂), as `pgd`; any ε.

    If `step_size` is None, α is 2.5·ε / steps, but along the steepest direction 0.1·ε at least.
    Adam's steps of equal values are far from steepest in ℓ2, so a weaker attack.
    """
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps = {eps} is no finite number from 0 on")
    how = (steps, step_size, random_start, restarts, early_stop, optimizer, loss, on_step)
    return _Ascent(L2, eps, *how).run(model, images, labels, generator)


@dataclass(frozen=True)
class _Ascent:
    """How the loss is ascended; the fields are the arguments of `pgd`, and the ball."""

    ball: Ball
    eps: float
    steps: int
    step_size: float | None
    random_start: bool
    restarts: int
    early_stop: bool
    optimizer: str
    loss: str
    on_step: OnStep | None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise ValueError(
                f"steps = {self.steps} and restarts = {self.restarts} must be at least 1"
            )
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise ValueError(f"step_size = {self.step_size} is not positive and finite")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer = {self.optimizer!r} is none of {', '.join(OPTIMIZERS)}")
        check_loss(self.loss)

    @property
    def alpha(self) -> float:
        """The length of a step."""
        if self.step_size is not None:
            return self.step_size
        is_followed = self.ball is L2 and self.optimizer == "steepest"
        return max(REACH / self.steps, LEAST_L2 if is_followed else 0) * self.eps

    def run(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Ascend from each start what none has fooled, and keep the best result of each example."""
        runs = self.restarts if self.random_start else 1
        best = images.clone()
        # Of what has been kept so far: misclassified examples are at +∞, where nothing is better.
        height = images.new_full(labels.shape, -torch.inf)
        at = torch.arange(len(labels), device=labels.device)
        for number in range(runs):
            x = images.clone()
            if self.random_start:
                x += self.ball.start(torch.empty_like(images), self.eps, generator)
                x.clamp_(0, 1)
            given, true = images, labels
            if number:
                x, given, true = x[at], images[at], labels[at]
            self._climb(model, x, given, true)
            if runs == 1:
                return x
            reached = self._measure_height(model, x, true)
            better = reached > height[at]
            best[at[better]], height[at[better]] = x[better], reached[better]
            at = (height < torch.inf).nonzero().squeeze(1)
            if not len(at):
                break
        return best

    def _climb(self, model: nn.Module, x: Tensor, images: Tensor, labels: Tensor) -> None:
        """Ascend from x, in place."""
        step = _adam(x) if self.optimizer == "adam" else lambda g, _: self.ball.direction(g)
        if self.early_stop:
            self._climb_until_fooled(model, x, images, labels, step)
            return
        project = self.ball.projection(images, self.eps)
        for _ in range(self.steps):
            gradient, logits = input_gradient(model, x, labels, self.loss)
            if self.on_step:
                self.on_step(LOSSES[self.loss](logits, labels))
            project(x.add_(step(gradient, slice(None)), alpha=self.alpha))
            # Its memory is the next step's.
            del gradient

    def _climb_until_fooled(
        self, model: nn.Module, x: Tensor, images: Tensor, labels: Tensor, step: Direction
    ) -> None:
        """Ascend from x, in place, each row until it is misclassified, in whatever batch."""
        at = torch.arange(len(labels), device=labels.device)
        for _ in range(self.steps):
            here, origin, true = x[at], images[at], labels[at]
            gradient, logits = input_gradient(model, here, true, self.loss)
            right = clear_margin(logits, true) <= 0
            at = at[right]
            if not len(at):
                return
            if self.on_step:
                self.on_step(LOSSES[self.loss](logits[right], true[right]))
            project = self.ball.projection(origin[right], self.eps)
            x[at] = project(here[right].add_(step(gradient[right], at), alpha=self.alpha))

    @torch.no_grad()
    def _measure_height(self, model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        """Return how good each result is: its loss, or +∞ if it is misclassified; (N,)."""
        logits = attacked_logits(model, x, labels)
        wrong = logits.argmax(1) != labels
        return LOSSES[self.loss](logits, labels).masked_fill_(wrong, torch.inf)


def _adam(like: Tensor) -> Direction:
    """Make Adam's directions for rows that are all worked on from the start until they are done."""
    mean, square = torch.zeros_like(like), torch.zeros_like(like)
    count = 0

    def direction(gradient: Tensor, at: Tensor | slice) -> Tensor:
        nonlocal count
        count += 1
        gradient = normalise(gradient)
        mean[at] = first = mean[at].lerp_(gradient, 1 - _BETA1)
        square[at] = second = square[at].lerp_(gradient.square_(), 1 - _BETA2)
        length = (second / (1 - _BETA2**count)).sqrt_().add_(_ADAM_EPS)
        return (first / (1 - _BETA1**count)).div_(length)

    return direction
