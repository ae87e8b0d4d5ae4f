"""Fashion-MNIST: 60,000 training and 10,000 test images of ten kinds of clothing."""

from pathlib import Path

from epsigma.datasets.idx import Published, read_published
from epsigma.datasets.images import Dataset

FILES = Published(
    title="Fashion-MNIST",
    torchvision="FashionMNIST",
    md5={
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    # Debian's package dataset-fashion-mnist.
    elsewhere=(Path("/usr/share/datasets/fashion-mnist"),),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
)


def fashion_mnist(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read Fashion-MNIST, raw or gzipped, also from Debian's package; see `read_published`.

    Source: Xiao, Rasul & Vollgraf 2017 (arXiv:1708.07747).
    """
    return read_published(FILES, data_dir, train_size=train_size, test_size=test_size)
