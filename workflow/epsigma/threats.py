"""What an aware attacker attacks: a filter and the classifier behind it, as one model."""

from typing import Any

import torch
from torch import Tensor, nn

from epsigma.filters.filter import Filter

GRADIENTS = ("exact", "bpda")


class _StraightThrough(torch.autograd.Function):
    """Forward, the second argument; backward, the gradient goes to the first."""

    @staticmethod
    def forward(ctx: Any, surrogate: Tensor, filtered: Tensor) -> Tensor:
        return filtered.view_as(filtered)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None


class Bpda(nn.Module):
    """A filter with the gradient of its `surrogate`: backward pass differentiable approximation.

    Source: Athalye, Carlini & Wagner 2018 (arXiv:1802.00420), section 4.1.
    """

    def __init__(self, module: Filter) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        # Detached: Kornia takes a slower way for images that want a gradient.
        filtered = self.module(images.detach())
        result: Tensor = _StraightThrough.apply(self.module.surrogate(images), filtered)
        return result


class Expectation(nn.Module):
    """A random model's mean logits over several draws: expectation over transformation.

    Source: Athalye, Engstrom, Ilyas & Kwok 2018 (arXiv:1707.07397), section 2.1, of the logits.

    Args:
        model: from images to logits, at random.
        samples: draws; at least 1.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"eot_samples = {samples} is less than 1")
        self.model = model
        self.samples = samples

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K)."""
        logits: Tensor = sum(self.model(images) for _ in range(self.samples)) / self.samples
        return logits


def defended(
    module: Filter, model: nn.Module, *, gradient: str | None, eot_samples: int | None = None
) -> nn.Module:
    """Put a filter in front of a model, so that an attacker can differentiate through both.

    Args:
        module: the filter, on images.
        model: from images to logits.
        gradient: `exact`, or `bpda` for that of the filter's surrogate.
        eot_samples: draws of a random filter to average over; None if it does not draw.

    Raises:
        ValueError: if `gradient` is neither: nobody has said how to attack this filter.
    """
    if gradient not in GRADIENTS:
        raise ValueError(
            f"{type(module).__name__} is declared neither differentiable nor handled: say in its "
            f"registry entry that its gradient is one of {', '.join(GRADIENTS)}"
        )
    whole = nn.Sequential(Bpda(module) if gradient == "bpda" else module, model)
    return whole if eot_samples is None else Expectation(whole, eot_samples)
