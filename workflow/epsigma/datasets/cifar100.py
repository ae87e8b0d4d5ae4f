"""CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels, in colour."""

from pathlib import Path

from epsigma.datasets.cifar import Cifar, read_cifar
from epsigma.datasets.images import Dataset

FILES = Cifar(
    title="CIFAR-100",
    archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    classes=100,
    per_class=(500, 100),
    # One of 20 superclasses, then the class.
    label_bytes=2,
)


def cifar100(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read CIFAR-100's binary version, by its 100 classes; see `read_cifar`.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    return read_cifar(FILES, data_dir, train_size=train_size, test_size=test_size)
