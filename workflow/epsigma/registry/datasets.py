"""The registry of data sets.

An implementation takes `data_dir` and its parameters by keyword, and returns a
`epsigma.datasets.images.Dataset`.
"""

from math import prod
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from epsigma.kinds import Count, DatasetKind, Hyperparameters
from epsigma.storage.source import is_inner

# The endings of the data set `file`, each with a function in `epsigma.datasets.formats`.
FORMATS = ("npz", "safetensors")


def _check_inner(path: str) -> str:
    if not is_inner(path):
        raise PydanticCustomError(
            "said", "{shown} is not a path within data_dir: relative, and without `..`"
        )
    return path


INNER_PATH = AfterValidator(_check_inner)


def _split_seed(sizes: str) -> Any:
    return Field(0, ge=0, description=f"seed of the stratified split into {sizes}")


class _Published(Hyperparameters):
    train_size: Count | None = Field(
        None, description="use only the first so many training images; null for all"
    )
    test_size: Count | None = Field(
        None, description="use only the first so many test images; null for all"
    )


class MNIST5k(Hyperparameters):
    split_seed: int = _split_seed("4,000 training and 1,000 test images")


class Digits(Hyperparameters):
    split_seed: int = _split_seed("1,437 training and 360 test images")


class _Own(Hyperparameters):
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="part of the images that is split off for the test, at random, each class in "
        "the same proportion; null if there is a test set",
    )
    split_seed: int = _split_seed("training and test images")


FirstLabel = Annotated[
    int, Field(ge=0, description="label of the first class: 1, if labels count from 1")
]


class File(_Own):
    path: Annotated[str, Field(pattern=rf"\.({'|'.join(FORMATS)})\Z"), INNER_PATH] = Field(
        description=f"a file, .{' or .'.join(FORMATS)}, relative to data_dir"
    )
    classes: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="how many classes there are, for a file of test images alone; null for as many "
        "as its labels name",
    )
    first_label: FirstLabel = 0


Inner = Annotated[str, Field(min_length=1), INNER_PATH]


class Idx(Hyperparameters):
    path: Inner = Field(description="the folder of the four files, relative to data_dir")
    train_images: Inner = Field(description="IDX file of training images, relative to path")
    train_labels: Inner = Field(description="IDX file of their labels")
    test_images: Inner = Field(description="IDX file of test images")
    test_labels: Inner = Field(description="IDX file of their labels")
    transposed: bool = Field(False, description="height and width are swapped, as in EMNIST")
    first_label: FirstLabel = 0


class _Pictures(_Own):
    channels: Literal[1, 3] = Field(3, description="3: red, green and blue; 1: grey")
    size: Count | None = Field(
        None,
        description="side in pixels to which images are resized; null if all are of one size",
    )


class Folder(_Pictures):
    path: Inner = Field(description="a folder of images by class, relative to data_dir")


class Parquet(_Pictures):
    path: Inner = Field(
        description="a Parquet file, or a folder of train*.parquet and test*.parquet, relative to "
        "data_dir"
    )
    image: str = Field("image", description="column of encoded images")
    label: str = Field("label", description="column of integer labels")
    first_label: FirstLabel = 0


DATASETS = {
    **{
        name: DatasetKind(f"epsigma.datasets.{name}:{name}", _Published)
        for name in ("mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn")
    },
    "mnist5k": DatasetKind("epsigma.datasets.mnist5k:mnist5k", MNIST5k),
    "digits": DatasetKind("epsigma.datasets.digits:digits", Digits),
    "file": DatasetKind("epsigma.datasets.file:file", File, source="path"),
    "idx": DatasetKind("epsigma.datasets.own_idx:own_idx", Idx, source="path"),
    "parquet": DatasetKind("epsigma.datasets.parquet:parquet", Parquet, source="path"),
    "folder": DatasetKind("epsigma.datasets.folder:folder", Folder, source="path"),
}


class Size(NamedTuple):
    """How many images a data set has for training and for the test, their (C, H, W), classes."""

    train: int
    test: int
    shape: tuple[int, int, int]
    classes: int = 10

    @property
    def values(self) -> int:
        """Values of an image."""
        return prod(self.shape)


# What is known before a data set is read; of the user's own nothing is.
SIZES = {
    **{name: Size(60_000, 10_000, (1, 28, 28)) for name in ("mnist", "fashion_mnist", "kmnist")},
    "cifar10": Size(50_000, 10_000, (3, 32, 32)),
    "cifar100": Size(50_000, 10_000, (3, 32, 32), classes=100),
    "svhn": Size(73_257, 26_032, (3, 32, 32)),
    "mnist5k": Size(4_000, 1_000, (1, 28, 28)),
    "digits": Size(1_437, 360, (1, 8, 8)),
}
