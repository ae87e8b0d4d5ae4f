"""The cross-check of an aware attacker who does not trust a filter's gradient: the identity's."""

from typing import Any

import torch
from torch import Tensor

from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter


class IdentityGradient(Filter):
    """A filter whose surrogate is the identity, whatever it says itself.

    Args:
        of: how to make the filter.
        generator: that it draws from, if it is random.

    Source: Athalye, Carlini & Wagner 2018 (arXiv:1802.00420), section 4.1.
    """

    is_linear = False

    def __init__(self, *, of: dict[str, Any], generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.filter = build_filter(of, generator)
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        filtered: Tensor = self.filter(images)
        return filtered

    def formula(self, images: Tensor) -> Tensor:
        """Filter images by the filter's definition."""
        return self.filter.formula(images)
