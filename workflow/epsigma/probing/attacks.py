"""Whether an attack is as strong as it could be: more iterations, no bounds, lost gradients."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from epsigma.attacks.apgd import apgd, apgd_l2
from epsigma.attacks.gradient import differentiate_as_is, find_loss
from epsigma.attacks.losses import TARGETED_LOSSES
from epsigma.attacks.rows import Rows
from epsigma.detectors.rejection import attacked_logits
from epsigma.storage.batches import batches

# Steps of a loss curve that are kept.
POINTS = 400
# Budgets that bound nothing, of images of d values.
LIMITS: dict[str, Callable[[int], float]] = {"linf": lambda d: 1.0, "l2": lambda d: d**0.5}
# Auto-PGD by norm, and the losses that it ascends.
AUTO_PGD = {"linf": apgd, "l2": apgd_l2}
ASCENDED, AUTO_STEPS = ("cross_entropy", "margin"), 50
# Values of hyper-parameters with which there is a single run, and all rows are worked on at each of
# its steps. The mean over rows that leave changes as they go, and another run starts over.
SINGLE_RUN = {"early_stop": False, "restarts": 1, "target_classes": 1}
# Shorter gradients than this (largest component) are as good as none.
VANISHING = 1e-12


@dataclass(frozen=True)
class Successes:
    """How often an attack succeeds: `count` of `n` rows.

    `size` is the mean ℓ2 norm of these; None if there are none, or they have no norm.
    """

    rate: float
    size: float | None
    count: int
    n: int

    def left(self, name: str) -> dict[str, float]:
        """What is not fooled: `{name}_accuracy`, and `n_{name}`, how many."""
        return {f"{name}_accuracy": 1 - self.rate, f"n_{name}": self.n - self.count}


# Runs an attack with some hyper-parameters changed.
Trial = Callable[..., Successes]


def count_successes(succeeded: Tensor, sizes: Tensor) -> Successes:
    """Count successes, (M,) bool, and average their sizes, (M,)."""
    size, count = float(sizes[succeeded].mean()), int(succeeded.sum())
    rate = float(succeeded.float().mean())
    return Successes(rate, None if math.isnan(size) else size, count, len(succeeded))


def find_successes(ledger: Mapping[str, NDArray[Any]], rows: Rows) -> Successes | None:
    """Count the successes of an attack among rows of its cell's ledger; None if it lacks one."""
    aims = rows.targets is not None
    keys, wanted = [ledger["index"].tolist()], [rows.index.tolist()]
    if rows.targets is not None:
        keys, wanted = [*keys, ledger["target"].tolist()], [*wanted, rows.targets.tolist()]
    row_of = {key: row for row, key in enumerate(zip(*keys, strict=True))}
    at = np.array([row_of.get(key, -1) for key in zip(*wanted, strict=True)])
    if at.min() < 0:
        return None
    succeeded = ledger["reached"] if aims else ~ledger["correct"]
    return count_successes(torch.from_numpy(succeeded[at]), torch.from_numpy(ledger["l2"][at]))


def try_longer(
    run: Trial,
    parameters: dict[str, Any],
    spends: str,
    traced: bool,
    once: Successes | None = None,
) -> tuple[Successes, dict[str, Any]]:
    """Run an attack as it is, and with twice what it `spends`: iterations or queries.

    One that is `traced` takes `on_step`. What comes of it as it is may be known, `once`; it is run
    all the same if its loss is to be followed.

    Returns:
        What comes of it as it is; and `spends`, the hyper-parameter; `tried`, its two values;
        `errors` and `sizes`, the rates of success and their mean norms; of one that is traced
        `losses`, the mean loss over the rows that it works on, at `steps`: of the run as it is, or,
        if that has several starts or targets, or rows that leave it, of one that has none.
    """
    trace, changed = Trace(), _single_run(parameters)
    if traced and not changed:
        once = run(on_step=trace, on_batch=trace.begin_batch)
    once = once or run()
    twice = run(**{spends: 2 * parameters[spends]})
    if traced and changed:
        run(on_step=trace, on_batch=trace.begin_batch, **changed)
    found = {
        "spends": spends,
        "tried": [parameters[spends], 2 * parameters[spends]],
        "errors": [once.rate, twice.rate],
        "sizes": [once.size, twice.size],
    }
    if traced:
        found["steps"], found["losses"] = trace.thinned(POINTS)
    return once, found


def _single_run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Say which hyper-parameters are not those of a single run of all rows, and what they were."""
    aimed = parameters.get("loss") in TARGETED_LOSSES
    return {
        name: value
        for name, value in SINGLE_RUN.items()
        if parameters.get(name, value) != value and (aimed or name != "target_classes")
    }


def unbound(
    run: Trial, settings: dict[str, Any], features: int, as_it_is: Successes | None
) -> dict[str, float]:
    """Run an iterative attack with budgets that bound little or nothing, and steps to match.

    The settings are those of its probe, its `norm` is not `l0`; images have so many `features`;
    `as_it_is` is what comes of it as it is, if that is known.

    Returns:
        `unbounded_accuracy`, of what no norm bounds as it is, and, in ℓ∞, `half_accuracy`, at
        ε = 0.5, with the counts `n_unbounded` and `n_half`.
    """
    norm, swept = settings["norm"], settings["swept"]
    if norm is None:
        return (as_it_is or run()).left("unbounded")

    def widened(budget: float) -> Successes:
        return run(
            **{swept: budget}, **_widen_steps(settings["attack"]["parameters"], swept, budget)
        )

    found = widened(LIMITS[norm](features)).left("unbounded")
    return found | (widened(0.5).left("half") if norm == "linf" else {})


def _widen_steps(parameters: dict[str, Any], swept: str, budget: float) -> dict[str, float]:
    """Make steps of a given size cross the ball of another budget as they cross their own."""
    size, own = parameters.get("step_size"), parameters[swept]
    return {"step_size": size * budget / own} if size and own else {}


def run_auto_pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    generator: torch.Generator,
) -> Tensor:
    """Attack images (M, C, H, W) by Auto-PGD, to which others in that ball are held.

    It ascends the cross-entropy, and of what is left the logit margin, 50 steps each, batch by
    batch.
    """
    made = [
        _run_auto_pgd(model, *part, norm=norm, eps=eps, generator=generator)
        for part in batches(images, labels)
    ]
    return torch.cat(made)


def _run_auto_pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    generator: torch.Generator,
) -> Tensor:
    result = images.clone()
    left = torch.arange(len(labels), device=labels.device)
    for loss in ASCENDED:
        if not len(left):  # models and filters need not take a batch of none
            break
        given, true = images[left], labels[left]
        made = AUTO_PGD[norm](
            model, given, true, eps=eps, steps=AUTO_STEPS, loss=loss, generator=generator
        )
        result[left] = made
        with torch.no_grad():
            left = left[attacked_logits(model, made, true).argmax(1) == true]
    return result


def share_lost_gradients(model: nn.Module, images: Tensor, labels: Tensor, loss: str) -> float:
    """Return the share of images at which the gradient of a loss is zero, vanishing or not finite.

    One value of an image that is not finite counts: there attacks do not move.
    """
    sizes = []
    for some, true in batches(images, labels):
        gradient, _, _ = differentiate_as_is(model, some, true, find_loss(loss))
        sizes.append(gradient.flatten(1).abs().amax(1))
    size = torch.cat(sizes)
    return float((~(size > VANISHING) | size.isinf()).float().mean())


class Trace:
    """Keeps the mean loss of each step, of the rows that an attack works on, batch by batch."""

    def __init__(self) -> None:
        self._steps: list[list[tuple[float, int]]] = []
        self._at = 0

    def begin_batch(self) -> None:
        """Let the next step be a batch's first."""
        self._at = 0

    def __call__(self, losses: Tensor) -> None:
        """Note a step: `losses` (M,), of the rows worked on."""
        if self._at == len(self._steps):
            self._steps.append([])
        self._steps[self._at].append((float(losses.mean()), len(losses)))
        self._at += 1

    @property
    def losses(self) -> list[float]:
        """The mean loss of each step."""
        return [
            # Of one batch, its own, unrounded.
            step[0][0] if len(step) == 1 else sum(m * n for m, n in step) / sum(n for _, n in step)
            for step in self._steps
        ]

    def thinned(self, points: int) -> tuple[list[int], list[float]]:
        """Return steps, from 1, and their losses; so many at most, evenly spread, the last too."""
        losses = self.losses
        count = len(losses)
        kept = sorted({round(at) for at in np.linspace(0, count - 1, min(points, count))})
        return [at + 1 for at in kept], [losses[at] for at in kept]
