"""The attack of Carlini & Wagner in ℓ2: the nearest image that is misclassified with confidence."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from epsigma.attacks.gradient import make_finite
from epsigma.detectors.rejection import attacked_logits

# Pixels of 0 and 1 have no finite w: they are drawn in by half of this (the authors' code).
INSET = 1e-6
BETA1, BETA2, ADAM_EPS = 0.9, 0.999, 1e-8
# How c grows until the first success, and where it stops (the authors' code).
GROWTH, LARGEST_C = 10.0, 1e10
# From so many search steps on the last one repeats the smallest c that succeeded.
REPEATED_FROM = 10
# How often the loss is inspected, and by what part it has to have fallen, or the c is given up.
INSPECTIONS, PROGRESS = 10, 1e-4
# Until an image has once been this far away, in ℓ2, its loss says nothing: pixels of 0 and 1 take
# hundreds of steps to leave the edge of tanh space. Half a grey level.
MOVED = 0.5 / 255
# By what part of its length another successful c has to shorten the way, or the search is over.
GAIN = 1e-3


@dataclass(frozen=True)
class _Aim:
    """What counts as success: the classes (M,), to reach or to leave, and κ, the lead of logits."""

    classes: Tensor
    targeted: bool
    kappa: float

    def at(self, rows: Tensor) -> "_Aim":
        """The aim of some rows."""
        return _Aim(self.classes[rows], self.targeted, self.kappa)

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Compute logits; a rejection is a class to beat, or, untargeted, counts as right."""
        if self.targeted:
            logits: Tensor = model(images)
            return logits
        return attacked_logits(model, images, self.classes)

    def lag(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Say by how much success is missed, (M,), before κ; and the place of the rival, (M, 1)."""
        own = self.classes.unsqueeze(1)
        value, rival = logits.scatter(1, own, -torch.inf).max(1, keepdim=True)
        lag = value.sub_(logits.gather(1, own)).squeeze(1)
        return (lag if self.targeted else lag.neg_()), rival

    def reached(self, lag: Tensor) -> Tensor:
        """Mark successes, (M,) bool; with κ = 0 a tie is none."""
        return (lag <= -self.kappa) & (lag < 0)

    def pull(self, logits: Tensor, rival: Tensor, weight: Tensor) -> Tensor:
        """Differentiate weight · lag with respect to the logits, (M, K); `weight` is (M,)."""
        weight = (weight if self.targeted else -weight).unsqueeze(1)
        pull = torch.zeros_like(logits).scatter_(1, rival, weight)
        return pull.scatter_(1, self.classes.unsqueeze(1), -weight)


def carlini_wagner(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    kappa: float,
    targets: Tensor | None = None,
    steps: int = 1000,
    search_steps: int = 9,
    learning_rate: float = 0.01,
    initial_c: float = 0.001,
    abort_early: bool = True,
    on_step: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Minimise ‖x' − x‖₂² + c·f(x') over w, x' = ½(tanh w + 1), and search for the best c.

    f(x') = max(max over j ≠ t of Z_j − Z_t, −κ) for targets t; untargeted, it is
    max(Z_y − max over j ≠ y of Z_j, −κ). Each image has a c of its own, ten times the last one
    until the first success, then by bisection, and is given up on its own: what has no need of
    further steps leaves the batch. An image that is a success when clean is returned as it is.

    Args:
        kappa: κ, the lead that the logits of a success have at least, from 0 on.
        targets: (N,) int64, the classes to reach; any but the true one if None.
        steps: steps of Adam for one c, at most.
        search_steps: how many c; from 10 on, the last is the smallest that succeeded once more.
        learning_rate: Adam's, in the units of w.
        initial_c: the first c.
        abort_early: give a c up when the lowest loss of the image has not fallen by 0.01 % in a
            tenth of `steps` (the authors' code looks at the last, summed over the batch), unless
            the image has not yet moved; and the search when another c succeeds and shortens the
            way by less than 0.1 %.
        on_step: is told the losses with f + κ for f, as in the authors' code: 0 on success.

    Returns:
        (N, C, H, W) of the images' dtype, in [0, 1]: of each image the success that is nearest to
        it in ℓ2, or, if there was none, the image itself.

    Source: Carlini & Wagner 2017 (arXiv:1608.04644), sections V and VI, and the authors' code.
    """
    _check(labels, targets, kappa, steps, search_steps, learning_rate, initial_c)
    aim = _Aim(labels if targets is None else targets, targets is not None, kappa)
    best = images.clone()
    with torch.no_grad():
        lag, _ = aim.lag(aim.logits(model, images))
    length = torch.where(aim.reached(lag), 0, torch.inf).to(images)
    patience = math.ceil(steps / INSPECTIONS) if abort_early else None
    descent = _Descent(model, images, aim, best, length, steps, learning_rate, patience, on_step)
    c = torch.full_like(length, initial_c)
    lower, upper = torch.zeros_like(c), torch.full_like(c, torch.inf)
    left = length.nonzero().squeeze(1)
    for search_step in range(search_steps):
        if not len(left):
            break
        if search_step == search_steps - 1 and search_steps >= REPEATED_FROM:
            c = upper.clamp(max=LARGEST_C)
        before = length.clone()
        found = descent.run(c, left)
        upper, lower = torch.where(found, c, upper), torch.where(found, lower, c)
        grown = (c * GROWTH).clamp_(max=LARGEST_C)
        c = torch.where(upper.isfinite(), (lower + upper) / 2, grown)
        if abort_early:
            near_enough = found & (length > before * (1 - GAIN))
            left = left[~near_enough[left]]
    return best


def _check(
    labels: Tensor,
    targets: Tensor | None,
    kappa: float,
    steps: int,
    search_steps: int,
    learning_rate: float,
    initial_c: float,
) -> None:
    if not 0 <= kappa < math.inf:
        raise ValueError(f"kappa = {kappa} is no finite number from 0 on")
    if steps < 1 or search_steps < 1:
        raise ValueError(f"steps = {steps} and search_steps = {search_steps} must be at least 1")
    for name, value in (("learning_rate", learning_rate), ("initial_c", initial_c)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} = {value} is not positive and finite")
    if targets is not None and targets.shape != labels.shape:
        raise ValueError(
            f"targets have the shape {tuple(targets.shape)}: "
            f"give one class an image, {tuple(labels.shape)}"
        )


@dataclass(frozen=True)
class _Descent:
    """Runs of Adam, one for each c that is tried; `best` and its `length` are updated in place.

    Adam runs on u = 2w: x' = sigmoid(u) is the same function as ½(tanh w + 1), several times
    cheaper, and exact near 0, where most pixels of a digit are. In u a step is twice as long, and
    what is computed is a quarter of the gradient in w (by half the loss: δ and c/2 · ∇f), so that
    ε is a quarter, too. After `patience` steps a row is left alone whose lowest loss has not
    fallen: not the last, for the loss of one row, unlike the sum over a batch, jumps. One that has
    never been `MOVED` from its image is not.
    """

    model: nn.Module
    images: Tensor
    aim: _Aim
    best: Tensor
    length: Tensor
    steps: int
    learning_rate: float
    patience: int | None
    on_step: Callable[[Tensor], None] | None

    def run(self, c: Tensor, at: Tensor) -> Tensor:
        """Run from the images `at`, each with its c; return which had a success, (M,) bool."""
        found = torch.zeros_like(self.length, dtype=torch.bool)
        origin, aim, c = self.images[at], self.aim.at(at), c[at]
        u = torch.logit((origin - 0.5).mul_(1 - INSET).add_(0.5)).contiguous().requires_grad_()
        mean, square = torch.zeros_like(u), torch.zeros_like(u)
        count = torch.zeros((), device=u.device)
        lowest = before = torch.full_like(c, torch.inf)
        farthest = torch.zeros_like(c)
        for step in range(self.steps):
            with torch.enable_grad():
                x = torch.sigmoid(u)
                logits = aim.logits(self.model, x)
            with torch.no_grad():
                away = x - origin
                distance = torch.linalg.vector_norm(away, dim=(1, 2, 3))
                farthest = torch.maximum(farthest, distance)
                lag, rival = aim.lag(logits)
                success = aim.reached(lag)
                found[at] |= success
                self._keep(at, x, distance, success)
                missed = lag.add_(aim.kappa).clamp_(min=0)
                pull = aim.pull(logits, rival, torch.where(missed > 0, c / 2, 0))
                loss = distance.square_().addcmul_(c, missed)
                if self.on_step is not None:
                    self.on_step(loss)
                lowest = torch.minimum(lowest, loss)
            (gradient,) = torch.autograd.grad((logits, x), u, (pull, away))
            _adam(u, make_finite(gradient), mean, square, count, self.learning_rate)
            if self.patience is not None and step % self.patience == 0:
                going = (lowest <= before * (1 - PROGRESS)) | (farthest < MOVED)
                if not going.any():
                    break
                if not going.all():
                    state = (at, origin, c, lowest, farthest, mean, square, u.detach())
                    at, origin, c, lowest, farthest, mean, square, u = (
                        kept[going] for kept in state
                    )
                    aim = aim.at(going)
                    u.requires_grad_()
                before = lowest
        return found

    def _keep(self, at: Tensor, x: Tensor, distance: Tensor, success: Tensor) -> None:
        """Keep the successes among x, which is of the rows `at`, that are nearer than before."""
        nearer = success & (distance < self.length[at])
        if nearer.any():
            rows = at[nearer]
            self.best[rows], self.length[rows] = x[nearer], distance[nearer]


@torch.no_grad()
def _adam(
    u: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, count: Tensor, rate: float
) -> None:
    """Step in u, in place, by one pass over all rows; `rate` and ε are meant in w."""
    # As flat tensors their strides agree, whatever the model made of the gradient's.
    x, g, m, v = ([one.reshape(-1)] for one in (u, gradient, mean, square))
    rates: dict[str, Any] = {"lr": 2 * rate, "beta1": BETA1, "beta2": BETA2, "eps": ADAM_EPS / 4}
    how: dict[str, Any] = {"amsgrad": False, "weight_decay": 0, "maximize": False, "fused": True}
    adam(x, g, m, v, [], [count], **how, **rates)
