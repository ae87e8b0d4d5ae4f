"""A user's own images, in one file of arrays."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epsigma.datasets import formats
from epsigma.datasets.formats import Array
from epsigma.datasets.images import Dataset, Images, learnable
from epsigma.storage.source import locate

ALONE = ("test_images", "test_labels")
SPLIT = ("train_images", "train_labels", *ALONE)
WHOLE = ("images", "labels")
CHANNELS = (1, 3)

# How far from a level of 8 bits a value may be, in levels: float32 rounds by less than 0.0001.
_TOLERANCE = 0.001
# Images that are converted at a time.
_BATCH = 1000


def file(
    data_dir: Path,
    *,
    path: str,
    classes: int | None = None,
    test_fraction: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Read images and labels from a `.npz` or a `.safetensors` file. No pickle is executed.

    The file holds `train_images`, `train_labels`, `test_images` and `test_labels`; or the latter
    two alone, of as many `classes` as the labels name, or as it says; or `images` and `labels`, of
    which `test_fraction` is split off.

    Images are uint8; or float32 or float64 in [0, 1], and then multiples of 1/255, for 8 bits are
    all that is kept. They are N x H x W; N x C x H x W; or N x H x W x C, if C alone can be a
    number of channels (1 or 3). Labels are integers (N,), from 0, of at least two classes.

    `path` is relative to `data_dir`, and does not leave it. `test_fraction` is None if the file has
    a test set of its own.
    """
    found = locate(data_dir, path)
    arrays = _read(found)
    names = next((one for one in (SPLIT, WHOLE, ALONE) if set(one) <= set(arrays)), None)
    if names is None or (names is ALONE and not set(arrays) <= set(ALONE)):
        raise ValueError(
            f"{found} holds {', '.join(arrays) or 'nothing known'}: it needs {', '.join(SPLIT)}; "
            f"or {' and '.join(WHOLE)}, and a test_fraction; or, where nothing is trained, "
            f"{' and '.join(ALONE)}"
        )
    if names is not WHOLE and test_fraction is not None:
        raise ValueError(f"{found} has a test set of its own: leave test_fraction out")
    if names is WHOLE and test_fraction is None:
        raise ValueError(f"{found} has no test set: say with test_fraction how much is for it")
    if names is not ALONE and classes is not None:
        raise ValueError(f"{found} has training images, which say what classes is: leave it out")

    def images(part: str) -> Images:
        at, labels_at = f"{found}: {part}images", f"{found}: {part}labels"
        pixels = _eight_bit(_channels_first(arrays[f"{part}images"], at), at)
        return Images(pixels, _labels(arrays[f"{part}labels"], len(pixels), labels_at))

    try:
        parts = [images(one.removesuffix("images")) for one in names if one.endswith("images")]
        return learnable(parts, fraction=test_fraction, seed=split_seed, classes=classes)
    except ValueError as error:
        named = str(error).startswith(str(found))
        raise error if named else ValueError(f"{found}: {error}") from error


def _read(path: Path) -> dict[str, Array]:
    """Read the arrays that have a name that counts."""
    read = getattr(formats, f"read_{path.suffix[1:]}", None)
    if read is None:
        raise ValueError(
            f"{path} is of no format that is known: convert it to .npz or .safetensors"
        )
    try:
        found: dict[str, Array] = read(path, (*SPLIT, *WHOLE))
    except formats.UNREADABLE as error:
        raise ValueError(
            f"{path} cannot be read ({error}): write it again, with arrays of numbers alone"
        ) from error
    return found


def _channels_first(images: Array, at: str) -> Array:
    """View images as (N, C, H, W)."""
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


def _eight_bit(images: Array, at: str) -> NDArray[np.uint8]:
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


def _labels(labels: Array, n: int, at: str) -> NDArray[np.int64]:
    if labels.shape != (n,):
        raise ValueError(f"{at} have the shape {labels.shape}, not ({n},): one for each image")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{at} are {labels.dtype}: save them as integers, from 0")
    if n and (labels.min() < 0 or labels.max() > np.iinfo(np.int64).max):
        raise ValueError(f"{at} go from {labels.min()} to {labels.max()}: they count from 0")
    return labels.astype(np.int64)
