"""Quantisation: to the levels of a thermometer code, and to those that k-means finds."""

import torch
from torch import Tensor
from torch.nn import functional

from epsigma.filters.filter import Filter

# Values this near to the middle of two levels get the lower one, in any precision.
_TIE = 1e-6
# Rounds of k-means, at most; a value's level seldom changes after 100.
ROUNDS = 300


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

    Its own gradient moves a cluster's mean with its values, and no value to another cluster. An
    aware attacker adds the identity's to it (BPDA).

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
        values = images.flatten(2).double()
        cluster, centres = self._cluster(values.detach())
        total = torch.zeros_like(centres).scatter_add(2, cluster, values)
        size = torch.zeros_like(centres).scatter_add(2, cluster, torch.ones_like(values))
        means = total / size.clamp(min=1)
        filtered: Tensor = means.gather(2, cluster).view_as(images).to(images.dtype)
        return filtered

    def surrogate(self, images: Tensor) -> Tensor:
        """Take the mean of the images and of their clusters' means."""
        mixed: Tensor = (images + self(images)) / 2
        return mixed

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
