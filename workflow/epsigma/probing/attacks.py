"""Whether an attack is as strong as it could be: more iterations, no bounds, lost gradients."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from epsigma.attacks.gradient import input_gradient
from epsigma.vocabulary import ITERATIVE

# Steps of a loss curve that are kept.
POINTS = 400
# Budgets that bound nothing, of images of d values.
LIMITS: dict[str, Callable[[int], float]] = {"linf": lambda d: 1.0, "l2": lambda d: d**0.5}
# Shorter gradients than this (largest component) are as good as none.
VANISHING = 1e-12

# Runs an attack with some hyper-parameters changed: the rate of its successes, and their mean size.
Trial = Callable[..., tuple[float, float | None]]


def summarise_trial(succeeded: Tensor, sizes: Tensor) -> tuple[float, float | None]:
    """Return the rate of successes (M,) bool, and the mean of their sizes (M,); None if unknown."""
    size = float(sizes[succeeded].mean())
    return float(succeeded.float().mean()), None if math.isnan(size) else size


def try_longer(run: Trial, parameters: dict[str, Any], effort: str, traced: bool) -> dict[str, Any]:
    """Run an attack as it is, and with twice the iterations or queries.

    Args:
        run: runs it.
        parameters: its hyper-parameters.
        effort: the one that says how long it tries.
        traced: whether it takes `on_step`.

    Returns:
        `effort`; `tried`, its two values; `errors` and `sizes`, what `run` returned for each; of
        one that is traced `losses`, the mean loss over the rows that it still works on, at `steps`.
    """
    trace = Trace()
    once = run(**({"on_step": trace} if traced else {}))
    twice = run(**{effort: 2 * parameters[effort]})
    found = {"effort": effort, "tried": [parameters[effort], 2 * parameters[effort]]}
    found["errors"], found["sizes"] = zip(once, twice, strict=True)
    if traced:
        found["steps"], found["losses"] = trace.thinned(POINTS)
    return found


def unbound(
    run: Trial, settings: dict[str, Any], features: int, errors: tuple[float, ...]
) -> dict[str, float]:
    """Run an iterative attack with budgets that bound little or nothing.

    Args:
        run: runs it.
        settings: `family`, `norm` and `swept` of the attack.
        features: values of an image.
        errors: rates of successes that are known already, of an attack that no norm bounds.

    Returns:
        `unbounded_accuracy`, of what no norm bounds as it is, and, in ℓ∞, `half_accuracy`, at
        ε = 0.5; nothing of other families, and of an attack that bounds the features' number.
    """
    norm, swept = settings["norm"], settings["swept"]
    if settings["family"] != ITERATIVE or not (norm is None or norm in LIMITS):
        return {}
    if norm is None:
        return {"unbounded_accuracy": 1 - (errors[0] if errors else run()[0])}
    found = {"unbounded_accuracy": 1 - run(**{swept: LIMITS[norm](features)})[0]}
    if norm == "linf":
        found["half_accuracy"] = 1 - run(**{swept: 0.5})[0]
    return found


def share_lost_gradients(model: nn.Module, images: Tensor, labels: Tensor, loss: str) -> float:
    """Return the share of images at which the gradient of a loss is zero, vanishing or infinite."""
    gradient, _ = input_gradient(model, images, labels, loss)
    size = gradient.flatten(1).abs().amax(1)
    return float((~(size > VANISHING) | size.isinf()).float().mean())


class Trace:
    """Keeps the mean loss of each step, of the rows that an attack still works on."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, losses: Tensor) -> None:
        """Note a step: `losses` (M,), of the rows still worked on."""
        self.losses.append(float(losses.mean()))

    def thinned(self, points: int) -> tuple[list[int], list[float]]:
        """Return steps, from 1, and their losses; so many at most, evenly spread, the last too."""
        count = len(self.losses)
        kept = sorted({round(at) for at in np.linspace(0, count - 1, min(points, count))})
        return [at + 1 for at in kept], [self.losses[at] for at in kept]
