"""Trying an attack on a few images before anything is spent on it, as stages will run it."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from epsigma.attacks.craft import AttackError, make_set, rows_of
from epsigma.attacks.direction import find_directions, step_along
from epsigma.attacks.fooling_set import fooling_rows, make_fooling_set
from epsigma.attacks.rows import Rows
from epsigma.attacks.shares import ShareError

# Rows on which an attack is tried.
TRIED = 2


def try_attack(
    settings: dict[str, Any],
    generator: torch.Generator,
    model: nn.Module,
    clean: Tensor,
    labels: Tensor,
    classes: int,
    *,
    traced: bool = False,
    direction: dict[str, Any] | None = None,
) -> None:
    """Run an attack on two images, or, of one that makes fooling images, for two classes.

    Args:
        settings: of the attack, at a budget, as `make_set` and `make_fooling_set` take them.
        model: need not be trained: an untargeted attack is told the labels that the model gives.
        clean: images (N, C, H, W) in [0, 1].
        labels: (N,), the true classes.
        traced: whether it takes `on_step`, which is then tried, too.
        direction: how to make what it steps along, if its entry says that it does.

    Raises:
        ShareError: if its budget is a share of too few features.
        AttackError: if it raises, or returns anything but finite images of the same shape, or
            others than a step along its direction.
    """
    is_fooling = "images" in settings
    if is_fooling:
        rows = fooling_rows(classes, 1, clean.device)[:TRIED]
    else:
        rows = rows_of(settings, labels, classes)[:TRIED]
    if rows.targets is None:
        # What is misclassified already, an attack may leave as it is.
        with torch.no_grad():
            rows = replace(rows, labels=model(rows.of(clean).clone()).argmax(1))
    make = make_fooling_set if is_fooling else make_set
    changed: dict[str, Any] = {"on_step": _check_losses} if traced else {}
    try:
        images, _ = make(settings, generator, model, clean.clone(), rows, **changed)
        stepped = images if direction is None else _step(settings, direction, model, clean, rows)
    except (AttackError, ShareError):
        raise
    except Exception as error:
        raise AttackError(
            f"called for {len(rows.index)} images {tuple(clean.shape[1:])}, with "
            f"{settings['parameters']}, it raised {type(error).__name__}: {error}; "
            "correct the function, or its entry"
        ) from error
    if not images.isfinite().all():
        raise AttackError(
            "it returned values that are not finite; look for the root, logarithm or quotient of "
            "zero, and for a gradient that is not a number or infinite (`make_finite` mends it)"
        )
    if not torch.equal(stepped, images):
        raise AttackError(
            "it is no step along the `direction` of its entry; take that out, or return "
            "`step_along` it (epsigma.attacks.direction)"
        )


def _step(
    settings: dict[str, Any], direction: dict[str, Any], model: nn.Module, clean: Tensor, rows: Rows
) -> Tensor:
    """Make the set that the stage makes along a direction."""
    parts = find_directions(direction, model, clean.clone(), rows)
    found = torch.cat([part.images for part in parts]).float()
    return step_along(found, rows.of(clean), settings["parameters"][settings["bounded_by"]])


def _check_losses(losses: Any) -> None:
    """Take the place of what follows the losses of a traced attack."""
    if not isinstance(losses, Tensor) or losses.dim() != 1:
        what = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise AttackError(
            f"it called on_step with {what}, not with a tensor (M,); call it with the losses of "
            "the images that are still worked on"
        )
