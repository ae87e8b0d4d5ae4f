"""A user's own images and labels, in four IDX files of any name."""

from pathlib import Path, PurePosixPath

import numpy as np

from epsigma.datasets.arrays import Array, channels_first, eight_bit, from_zero
from epsigma.datasets.idx import decode, unpack
from epsigma.datasets.images import Dataset, Images, learnable
from epsigma.storage.source import locate

# Of QMNIST's labels: the class, then writer, digit and other things that are no class.
QMNIST_COLUMNS = 8
_GZIPPED = b"\x1f\x8b"


def own_idx(
    data_dir: Path,
    *,
    path: str,
    train_images: str,
    train_labels: str,
    test_images: str,
    test_labels: str,
    transposed: bool = False,
    first_label: int = 0,
) -> Dataset:
    """Read four IDX files, raw or gzipped, as EMNIST, QMNIST and many others are published.

    Args:
        path: of their folder, relative to `data_dir`.
        train_images, test_images: names of the files of images, relative to `path`: N x H x W,
            N x C x H x W or N x H x W x C, as of `file`.
        train_labels, test_labels: names of the files of labels: (N,), (N, 1) or, as QMNIST has
            them, (N, 8), of which the first column is the class.
        transposed: whether height and width are swapped, as in EMNIST.
        first_label: the label of the first class.

    Source: LeCun's description of MNIST's files; Cohen et al. 2017 (EMNIST, arXiv:1702.05373);
        Yadav & Bottou 2019 (QMNIST, arXiv:1905.10498).
    """
    folder = locate(data_dir, path)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name the one that holds the four files")

    def part(images: str, labels: str) -> Images:
        at, labels_at = (
            locate(data_dir, str(PurePosixPath(path) / name)) for name in (images, labels)
        )
        pixels = channels_first(_read(at), str(at))
        pixels = eight_bit(np.swapaxes(pixels, 2, 3) if transposed else pixels, str(at))
        numbers = _read(labels_at)
        if numbers.ndim == 2 and numbers.shape[1] == QMNIST_COLUMNS:
            numbers = numbers[:, 0]
        return Images(
            pixels, from_zero(numbers, len(pixels), str(labels_at), first_label=first_label)
        )

    parts = [part(train_images, train_labels), part(test_images, test_labels)]
    try:
        return learnable(parts, fraction=None, seed=0, first_label=first_label)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _read(path: Path) -> Array:
    if not path.is_file():
        raise ValueError(f"{path} is no file: name an IDX file, raw or gzipped")
    content = path.read_bytes()
    return decode(unpack(content, path) if content.startswith(_GZIPPED) else content, path)
