"""Networks that were made for resized, cropped or normalised images."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Numbers = float | Sequence[float]
Shape = tuple[int, int, int]


class ResizeCrop(nn.Module):
    """Resize images and crop their centre, as torchvision's and timm's recipes do; differentiable.

    Equal to torchvision's `Resize(resize, interpolation, antialias=True)` and `CenterCrop(crop)` of
    float images, but that `bicubic` is clamped to [0, 1], as it is of 8-bit images there.

    Args:
        shape: (C, H, W) of the images.
        resize: length in pixels that their shorter side gets, the other in proportion; None to
            leave their size.
        crop: side in pixels of the square that is cut out of their centre; None for all.
        interpolation: `bilinear` or `bicubic`, low-passed where it shrinks (antialias).

    Attributes:
        shape: (C, H, W) of what it returns.

    Raises:
        ValueError: if there is less to crop than is asked for.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        resize: int | None = None,
        crop: int | None = None,
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        channels, *given = shape
        short = min(given)
        self.size = [given[0], given[1]]
        if resize is not None:
            self.size = [int(resize * side / short) for side in given]
        self.shape: Shape = (channels, self.size[0], self.size[1])
        if crop is not None:
            if crop > min(self.size):
                raise ValueError(
                    f"preprocess.crop = {crop} is more than the {self.size[0]} × {self.size[1]} "
                    f"pixels that there are: lessen it, or set preprocess.resize to {crop} or more"
                )
            self.shape = (channels, crop, crop)
        self.interpolation = interpolation

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to such ones of its `shape`."""
        if list(images.shape[2:]) != self.size:
            images = functional.interpolate(
                images, self.size, mode=self.interpolation, antialias=True
            )
            if self.interpolation == "bicubic":
                images = images.clamp(0, 1)
        for axis, side in ((2, self.shape[1]), (3, self.shape[2])):
            images = images.narrow(axis, round((images.shape[axis] - side) / 2), side)
        return images


class Normalize(nn.Module):
    """Map images x (N, C, H, W) in [0, 1] to (x − mean) / std, a channel at a time.

    Args:
        mean: of each of the C channels, or of all of them; in units of the pixel range, [0, 1].
        std: as `mean`, greater than 0.
        channels: C.

    Raises:
        ValueError: if there are neither one nor C numbers, or float32 cannot divide by them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Numbers, std: Numbers, channels: int) -> None:
        super().__init__()
        for name, given in (("mean", mean), ("std", std)):
            values = torch.tensor(given, dtype=torch.float32).flatten()
            if len(values) not in (1, channels):
                raise ValueError(
                    f"normalize.{name} has {len(values)} numbers, and images have {channels} "
                    f"channel{'s' if channels > 1 else ''}: give one number, or one a channel"
                )
            if name == "std" and not values.reciprocal().isfinite().all():
                raise ValueError(
                    f"normalize.std = {given} is too small to divide by in float32: raise it"
                )
            self.register_buffer(name, values.expand(channels).clone()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images."""
        return (images - self.mean) / self.std


class Preprocessed(nn.Sequential):
    """A network behind its preprocessing, as one model of images in [0, 1].

    Args:
        network: the network.
        preprocess: resizes and crops; None if nothing does.
        normalize: normalises what that returns; None if nothing does.
    """

    normalize: Normalize
    network: nn.Module

    def __init__(
        self, network: nn.Module, preprocess: ResizeCrop | None, normalize: Normalize | None
    ) -> None:
        parts = {"preprocess": preprocess, "normalize": normalize, "network": network}
        there = {name: part for name, part in parts.items() if part is not None}
        super().__init__(OrderedDict(there))

    @property
    def normalizes(self) -> bool:
        """Whether it has a `normalize`."""
        return "normalize" in self._modules

    def constrain(self) -> None:
        """Put the network's weights back where it wants them, after a step."""
        constrain: Any = getattr(self.network, "constrain", None)
        if callable(constrain):
            constrain()
