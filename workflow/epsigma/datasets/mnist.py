"""MNIST, whole: 60,000 training and 10,000 test images."""

from pathlib import Path

from epsigma.datasets.idx import Published, read_published
from epsigma.datasets.images import Dataset

FILES = Published(
    title="MNIST",
    torchvision="MNIST",
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)


def mnist(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read MNIST, raw or gzipped; see `read_published`.

    Source: LeCun, Cortes & Burges.
    """
    return read_published(FILES, data_dir, train_size=train_size, test_size=test_size)
