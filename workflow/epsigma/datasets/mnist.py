"""MNIST, whole: 60,000 training and 10,000 test images."""

from pathlib import Path

import numpy as np

from epsigma.datasets.idx import find_idx, read_idx
from epsigma.datasets.images import Dataset, Images

# The published sums of the raw files.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def mnist(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read MNIST from IDX files, or download it.

    Args:
        data_dir: folder of the four files, raw or gzipped, there or in `MNIST/raw` below it. If
            it has none of them, torchvision downloads them there.
        train_size: use only the first so many training images (None: all).
        test_size: use only the first so many test images (None: all).

    Raises:
        FileNotFoundError: if files are missing and cannot be downloaded.
        ValueError: if a file is not the published one.

    Source: LeCun, Cortes & Burges.
    """
    found = {name: find_idx(data_dir, name) for name in MD5}
    if not any(found.values()):
        _download(data_dir)
        found = {name: find_idx(data_dir, name) for name in MD5}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"MNIST in data_dir = {data_dir} is incomplete: {_listed(missing)} missing, while "
            "other files are there. Add the missing ones under these names (or with .gz), or "
            "empty the folder to have all of them downloaded"
        )
    arrays = {name: read_idx(path, md5=MD5[name]) for name, path in found.items() if path}

    def split(part: str) -> Images:
        return Images(
            images=arrays[f"{part}-images-idx3-ubyte"][:, None],
            labels=arrays[f"{part}-labels-idx1-ubyte"].astype(np.int64),
        )

    return Dataset(train=split("train").first(train_size), test=split("t10k").first(test_size))


def _download(data_dir: Path) -> None:
    from torchvision.datasets import MNIST

    try:
        MNIST(str(data_dir), download=True)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"MNIST is not in data_dir = {data_dir} ({_listed(list(MD5))}, raw or gzipped, there "
            f"or in MNIST/raw below it), and torchvision could not download it "
            f"({str(error).strip()}). Put the files there, or name their folder: "
            "--config data_dir=FOLDER"
        ) from error


def _listed(names: list[str]) -> str:
    return ", ".join(names)
