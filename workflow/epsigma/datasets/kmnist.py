"""Kuzushiji-MNIST: 60,000 training and 10,000 test images of ten cursive Japanese characters."""

from pathlib import Path

from epsigma.datasets.idx import Published, read_published
from epsigma.datasets.images import Dataset

FILES = Published(
    title="KMNIST",
    torchvision="KMNIST",
    # Of the gzipped files: no sums of the raw ones are published.
    md5={
        "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
    },
    gzipped=True,
    # The characters, as they are romanised.
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
)


def kmnist(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read Kuzushiji-MNIST, gzipped as it was published; see `read_published`.

    Source: Clanuwat et al. 2018 (arXiv:1812.01718).
    """
    return read_published(FILES, data_dir, train_size=train_size, test_size=test_size)
