"""Quantisation: to the levels of a thermometer code, and to those that k-means finds."""

import torch
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter

# Values this near to the middle of two levels get the lower one, in any precision.
_TIE = 1e-6
# Rounds of k-means, at most; a value's level seldom changes after 100.
ROUNDS = 300
# How wide the steps of k-means' surrogate are, in units of the pixel range.
WIDTH = 0.02


class Thermometer(Filter):
    """Encode values in a thermometer code of so many levels, and decode them.

    The code of x has a bit for each threshold i/levels, 0 < i < levels: whether x is above it.
    The decoded value is the share of bits that are set. The authors give the code itself to a
    network that was trained on it; here the classifier is not retrained.

    Its gradient is zero almost everywhere, so an aware attacker takes the identity's (BPDA).

    Args:
        levels: at least 2.

    Source: Buckman, Roy, Raffel & Goodfellow 2018 (Thermometer Encoding), section 3.
    """

    is_linear = False

    def __init__(self, *, levels: int) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels = {levels} is less than 2")
        self.levels = levels

    def forward(self, images: Tensor) -> Tensor:
        """Quantise images (N, C, H, W)."""
        bits = (images * self.levels - _TIE).ceil() - 1
        return bits.clamp(0, self.levels - 1) / (self.levels - 1)

    def formula(self, images: Tensor) -> Tensor:
        """Count the bits that are set."""
        count = torch.zeros_like(images)
        for step in range(1, self.levels):
            count += images > (step + _TIE) / self.levels
        return count / (self.levels - 1)


class KMeans(Filter):
    """Replace values by the means of so many clusters, found by k-means for each channel alone.

    Lloyd's algorithm starts from levels that are evenly spaced over the channel's range. An empty
    cluster keeps its level.

    Its own gradient moves a cluster's mean with its values, and no value to another cluster. The
    surrogate of an aware attacker (BPDA) is soft: a value is shared between the two means it lies
    between, by a sigmoid in their middle.

    Args:
        levels: how many clusters; at least 1.

    Source: Lloyd 1982 (Least squares quantization in PCM).
    """

    is_linear = False

    def __init__(self, *, levels: int) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels = {levels} is less than 1")
        self.levels = levels

    def forward(self, images: Tensor) -> Tensor:
        """Quantise images (N, C, H, W)."""
        cluster, means = self._average(images.flatten(2).double())
        filtered: Tensor = means.gather(2, cluster).view_as(images).to(images.dtype)
        return filtered

    def surrogate(self, images: Tensor) -> Tensor:
        """Share each value between the means below and above it: by sigmoid((value − middle) / s).

        It is soft assignment, the softmax over both of −d²/T, d the distance to a mean, with
        T = 2s times the distance of the means. So all steps are as wide, s = 0.02, however far
        apart the means are, and those of means that are near merge.
        """
        values = images.flatten(2).double()
        means = self._average(values)[1]
        lower = torch.searchsorted(means.detach(), values.detach()) - 1
        lower = lower.clamp(max=self.levels - 2).clamp(min=0)
        upper = (lower + 1).clamp(max=self.levels - 1)
        low, high = means.gather(2, lower), means.gather(2, upper)
        share = torch.sigmoid((values - (low + high) / 2) / WIDTH)
        soft: Tensor = (low + share * (high - low)).view_as(images).to(images.dtype)
        return soft

    def _average(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Find the cluster of each of values (N, C, P), and the means (N, C, levels)."""
        cluster, centres = self._cluster(values.detach())
        total = torch.zeros_like(centres).scatter_add(2, cluster, values)
        size = torch.zeros_like(centres).scatter_add(2, cluster, torch.ones_like(values))
        return cluster, torch.where(size > 0, total / size.clamp(min=1), centres)

    @torch.no_grad()
    def _cluster(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Find the cluster of each of values (N, C, P), and the centres (N, C, levels)."""
        ordered = values.sort(-1).values
        sums = functional.pad(ordered.cumsum(-1), (1, 0))
        low, high = ordered[..., :1], ordered[..., -1:]
        steps = (torch.arange(self.levels, device=values.device) + 0.5) / self.levels
        centres = low + (high - low) * steps.to(values)
        for _ in range(ROUNDS):
            middle = (centres[..., 1:] + centres[..., :-1]) / 2 + _TIE
            ends = torch.searchsorted(ordered, middle, right=True)
            ends = functional.pad(ends, (1, 0))
            ends = functional.pad(ends, (0, 1), value=values.shape[-1])
            size = ends.diff()
            found = sums.gather(-1, ends).diff() / size.clamp(min=1)
            moved = torch.where(size > 0, found, centres)
            if torch.equal(moved, centres):
                break
            centres = moved
        return torch.searchsorted(middle, values), centres

    def formula(self, images: Tensor) -> Tensor:
        """Give each value to the nearest centre, and each centre the mean of its values."""
        found = torch.empty_like(images)
        for of_image, made in zip(images, found, strict=True):
            for values, into in zip(of_image.flatten(1), made, strict=True):
                low, high = float(values.min()), float(values.max())
                spaced = (torch.arange(self.levels) + 0.5) / self.levels
                centres = low + (high - low) * spaced.to(values)
                for _ in range(ROUNDS):
                    distance = (values[:, None] - centres).abs()
                    # Of two that are as near, the lower one.
                    nearest = (distance < distance.amin(1, keepdim=True) + 2 * _TIE).int().argmax(1)
                    before = centres.clone()
                    for cluster in nearest.unique():
                        centres[cluster] = values[nearest == cluster].mean()
                    if torch.equal(before, centres):
                        break
                into.copy_(centres[nearest].view_as(into))
        return found
