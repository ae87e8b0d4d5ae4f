"""The types that images are stored as, and how they are rounded to these.

What is no float32 in a file is there times 255: images of 8 bits, and float16 of the same values,
so that an image of 8 bits is stored exactly either way.
"""

import torch
from torch import Tensor

from epsigma.vocabulary import FLOAT16, FLOAT32, UINT8

# Of 8 bits, above zero.
LEVELS = 255
DTYPES = {FLOAT32: torch.float32, FLOAT16: torch.float16, UINT8: torch.uint8}
# In units of 1/255: how far float32 carries a value from one that a type has.
_NOISE = 1e-4


def encode(images: Tensor, stored_as: str) -> Tensor:
    """Make of images (N, C, H, W) what a file has of them; `to_float` makes them images again.

    Values that the type does not have are rounded to the nearest, for 8 bits in [0, 1].
    """
    if stored_as == FLOAT32:
        return images
    levels = images * LEVELS
    if stored_as == UINT8:
        levels.round_().clamp_(0, LEVELS)
    return levels.to(DTYPES[stored_as])


def round_to_nearest(images: Tensor) -> Tensor:
    """Round images (N, C, H, W) to 8 bits, as those of files are."""
    return (images * LEVELS).round_().div_(LEVELS)


def round_towards(images: Tensor, clean: Tensor, stored_as: str) -> Tensor:
    """Round images to values of a type, each towards that of its clean image.

    So no |δ| grows, and no value leaves [0, 1]. A clean value that the type does not have may have
    none between itself and the image's: then the result is the nearest to the clean one, and |δ| up
    to half a step of the type.

    Args:
        images: (N, C, H, W), not changed.
        clean: of the same shape, in [0, 1].
        stored_as: the type.
    """
    if stored_as == FLOAT32:
        return images
    levels, origin = (images * LEVELS).clamp_(0, LEVELS), clean * LEVELS
    nearest = _nearest(levels, stored_as)
    is_above = levels >= origin
    over = torch.where(is_above, nearest - levels, levels - nearest)
    # Towards the clean image, where the nearest one is farther away from that.
    found = torch.where(over > _NOISE, _next(nearest, ~is_above, stored_as), nearest)
    # Beyond it, where the clean image is between two values of the type.
    beyond = torch.where(is_above, origin - found, found - origin)
    return torch.where(beyond > _NOISE, _nearest(origin, stored_as), found).div_(LEVELS)


def has_values(images: Tensor, stored_as: str) -> bool:
    """Whether a type has all values of images (N, C, H, W)."""
    levels = images * LEVELS
    return stored_as == FLOAT32 or bool(
        ((_nearest(levels, stored_as) - levels).abs() <= _NOISE).all()
    )


def _nearest(levels: Tensor, stored_as: str) -> Tensor:
    return levels.round() if stored_as == UINT8 else levels.half().float()


def _next(values: Tensor, upwards: Tensor, stored_as: str) -> Tensor:
    """Return the value of the type next to each, above where that is asked for, or below."""
    step = upwards.to(torch.int16).mul_(2).sub_(1)
    if stored_as == UINT8:
        return values + step
    # Of numbers that are not negative the bits count up.
    return values.half().view(torch.int16).add(step).view(torch.float16).float()
