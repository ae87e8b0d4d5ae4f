"""Transfer: attack one model with what was made on another."""

from typing import Any

from torch import Tensor, nn

from epsigma.loading import load


def transfer(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    attack: dict[str, Any],
    **options: Any,
) -> Tensor:
    """Run an attack on the source model, whose result is scored on another.

    The stage hands in the source model; which one that is, `source_model` and `source_seed` of
    the configuration say.

    Args:
        model: the source, from images to logits, in eval mode.
        images: (N, C, H, W) float in [0, 1]; not modified.
        labels: (N,) int64, the true classes.
        eps: budget of the attack.
        attack: its `implementation`, and its other `parameters` by keyword.
        options: handed on, such as `generator`.

    Returns:
        (N, C, H, W), as that attack returns it.

    Source: Papernot, McDaniel & Goodfellow 2016 (arXiv:1605.07277).
    """
    run = load(attack["implementation"])
    result: Tensor = run(model, images, labels, eps=eps, **attack["parameters"], **options)
    return result
