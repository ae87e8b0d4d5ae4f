"""The gradient that an aware attacker takes of a filter: its own, or a surrogate's (BPDA)."""

from typing import Any

import torch
from torch import Tensor, nn

from epsigma.filters.filter import Filter
from epsigma.vocabulary import IDENTITY

GRADIENTS = ("exact", "bpda")


class StraightThrough(torch.autograd.Function):
    """Forward, the second argument; backward, the gradient goes to the first."""

    @staticmethod
    def forward(ctx: Any, surrogate: Tensor, exact: Tensor) -> Tensor:
        """Return `exact`, of the shape of `surrogate`."""
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Give the surrogate all of the gradient."""
        return gradients[0], None


class Bpda(nn.Module):
    """A filter with the gradient of its `surrogate`: backward pass differentiable approximation.

    The surrogate of one that is replayed draws what the filter has drawn.

    Source: Athalye, Carlini & Wagner 2018 (arXiv:1802.00420), section 4.1.
    """

    def __init__(self, module: Filter) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        if not (torch.is_grad_enabled() and images.requires_grad):
            unattacked: Tensor = self.module(images)
            return unattacked
        # Detached: Kornia takes a slower way for images that want a gradient.
        if not self.module.is_replayed:
            filtered = self.module(images.detach())
            surrogate = self.module.surrogate(images)
        else:
            source = self.module.generator or torch.default_generator
            before = source.get_state()
            filtered = self.module(images.detach())
            after = source.get_state()
            source.set_state(before)
            surrogate = self.module.surrogate(images)
            source.set_state(after)
        result: Tensor = StraightThrough.apply(surrogate, filtered)
        return result


class AsIdentity(nn.Module):
    """A filter with the gradient of the identity."""

    def __init__(self, module: Filter) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        result: Tensor = StraightThrough.apply(images, self.module(images.detach()))
        return result


def attackable(module: Filter, gradient: str | None) -> nn.Module:
    """Give a filter the gradient that an attacker takes of it: its own, or its surrogate's.

    That of the identity is `IDENTITY`.

    Raises:
        ValueError: if `gradient` is none of `GRADIENTS`: how to attack the filter is unknown.
    """
    if gradient == IDENTITY:
        return AsIdentity(module)
    if gradient not in GRADIENTS:
        raise ValueError(
            f"{type(module).__name__} is declared neither differentiable nor handled: say in its "
            f"registry entry that its gradient is one of {', '.join(GRADIENTS)}"
        )
    return Bpda(module) if gradient == "bpda" else module


class Opaque(nn.Module):
    """A filter whose gradient for attackers is unknown: it filters, and has none."""

    def __init__(self, module: Filter) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W); a ValueError if a gradient is wanted."""
        if torch.is_grad_enabled() and images.requires_grad:
            attackable(self.module, None)
        filtered: Tensor = self.module(images)
        return filtered


def as_part(module: Filter, gradient: str | None) -> nn.Module:
    """Give a filter that is part of something else its gradient for attackers; None if unknown."""
    return Opaque(module) if gradient is None else attackable(module, gradient)
