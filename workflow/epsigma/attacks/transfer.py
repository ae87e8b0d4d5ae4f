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
    """Run an attack on the source model, which the stage hands in; the result is scored on another.

    `attack` has its `implementation`, and its other `parameters` by keyword.

    Source: Papernot, McDaniel & Goodfellow 2016 (arXiv:1605.07277).
    """
    run = load(attack["implementation"])
    result: Tensor = run(model, images, labels, eps=eps, **attack["parameters"], **options)
    return result
