"""A user's own arrays of images and of labels, brought into the form of `Images`."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

CHANNELS = (1, 3)

# How far from a level of 8 bits a value may be, in levels: float32 rounds by less than 0.0001.
_TOLERANCE = 0.001
# Images that are converted at a time.
_BATCH = 1000


def channels_first(images: Array, at: str) -> Array:
    """View images as (N, C, H, W).

    Args:
        images: N x H x W; N x C x H x W; or N x H x W x C, if C alone can be a number of channels
            (1 or 3).
        at: what errors call them.

    Raises:
        ValueError: if they have another shape, or one that may be either.
    """
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4:
        raise ValueError(f"{at} have the shape {images.shape}, not N x H x W or N x C x H x W")
    first, last = images.shape[1] in CHANNELS, images.shape[3] in CHANNELS
    if first and last:
        raise ValueError(
            f"{at} have the shape {images.shape}, which may be N x C x H x W or N x H x W x C: "
            "widen the images, by a border for instance"
        )
    if not first and not last:
        raise ValueError(
            f"{at} have the shape {images.shape}, in which neither the second number nor the last "
            "is one of channels: 1 (grey) or 3 (red, green, blue)"
        )
    return images if first else np.moveaxis(images, 3, 1)


def eight_bit(images: Array, at: str) -> NDArray[np.uint8]:
    """Make images contiguous and uint8, of any shape; floats in [0, 1] are multiples of 1/255.

    Raises:
        ValueError: if they are of another type, or would have to be rounded.
    """
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images, dtype=np.uint8)
    if images.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"{at} are {images.dtype}: save them as uint8, or as float32 or float64 in [0, 1]"
        )
    converted = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH].astype(np.float64)
        if not np.isfinite(batch).all():
            raise ValueError(f"{at} hold values that are not finite: remove them")
        low, high = batch.min(initial=0), batch.max(initial=0)
        if low < -_TOLERANCE / 255 or high > 1 + _TOLERANCE / 255:
            raise ValueError(
                f"{at} go from {low:g} to {high:g}: floats are in [0, 1]; undo what was done to "
                "them (models normalise their inputs themselves), or save 0 ... 255 as uint8"
            )
        batch *= 255
        levels = np.rint(batch)
        if np.abs(batch - levels).max(initial=0) > _TOLERANCE:
            raise ValueError(
                f"{at} are not multiples of 1/255, and 8 bits are all that is kept: round them "
                "yourself, numpy.rint(255 * images).astype(numpy.uint8)"
            )
        converted[start : start + _BATCH] = levels
    return converted


def from_zero(labels: Array, n: int, at: str, *, first_label: int = 0) -> NDArray[np.int64]:
    """Make the labels of `n` images int64 (N,) from 0.

    Args:
        labels: integers, (N,) or (N, 1), that count from `first_label`.
        n: how many images there are.
        at: what errors call them.
        first_label: the label of the first class.

    Raises:
        ValueError: if they are of another type or shape, or one is below `first_label`.
    """
    if labels.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"{at} have the shape {labels.shape}, not ({n},) or ({n}, 1): one for each image"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{at} are {labels.dtype}: save them as integers")
    if n and (labels.min() < first_label or labels.max() > np.iinfo(np.int64).max):
        raise ValueError(
            f"{at} go from {labels.min()} to {labels.max()}: they count from {first_label} "
            "(first_label)"
        )
    return labels.reshape(n).astype(np.int64) - first_label
