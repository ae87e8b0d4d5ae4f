"""CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels, in colour."""

from pathlib import Path

from epsigma.datasets.cifar import Cifar, read_cifar
from epsigma.datasets.images import Dataset

FILES = Cifar(
    title="CIFAR-10",
    archive="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test=("test_batch.bin",),
    classes=10,
    per_class=(5000, 1000),
)


def cifar10(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read CIFAR-10's binary version; see `read_cifar`.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    return read_cifar(FILES, data_dir, train_size=train_size, test_size=test_size)
