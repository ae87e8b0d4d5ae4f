"""Filters one after the other."""

from collections.abc import Sequence as Parts

from torch import Tensor, nn

from epsigma.filters.filter import Filter


class Sequence(Filter):
    """Pass images through several filters in turn, at least one.

    `attackable` are the same, each with the gradient that an aware attacker takes of it.
    """

    is_linear = False

    def __init__(self, filters: Parts[Filter], attackable: Parts[nn.Module]) -> None:
        super().__init__()
        if not filters or len(filters) != len(attackable):
            raise ValueError(f"{len(filters)} filters and {len(attackable)} ways to attack them")
        self._parts = tuple(filters)
        self.chain = nn.Sequential(*attackable)

    @property
    def parts(self) -> tuple[Filter, ...]:
        """The filters, in their order."""
        return self._parts

    def forward(self, images: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        filtered: Tensor = self.chain(images)
        return filtered

    def formula(self, images: Tensor) -> Tensor:
        """Filter by the definition of each."""
        for one in self.parts:
            images = one.formula(images)
        return images
