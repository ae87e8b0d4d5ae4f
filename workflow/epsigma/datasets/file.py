"""A user's own images, in one file of arrays."""

from pathlib import Path

from epsigma.datasets import formats
from epsigma.datasets.arrays import Array, channels_first, eight_bit, from_zero
from epsigma.datasets.images import Dataset, Images, learnable
from epsigma.storage.source import locate

# Images and labels, of training and of the test: ours are MedMNIST's names, the others Keras'.
SPLITS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
ALONE = ("test_images", "test_labels")
WHOLE = ("images", "labels")
# Of MedMNIST.
UNUSED = "val_labels"


def file(
    data_dir: Path,
    *,
    path: str,
    classes: int | None = None,
    first_label: int = 0,
    test_fraction: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Read images and labels from a `.npz` or a `.safetensors` file. No pickle is executed.

    The file holds `train_images`, `train_labels`, `test_images` and `test_labels`, as those of
    MedMNIST do (of which `val_*` are not used); or the latter two alone, of as many `classes` as
    the labels name, or as it says; or `x_train`, `y_train`, `x_test` and `y_test`, as those of
    Keras; or `images` and `labels`, of which `test_fraction` is split off.

    Images are uint8; or float32 or float64 in [0, 1], and then multiples of 1/255, for 8 bits are
    all that is kept. They are N x H x W; N x C x H x W; or N x H x W x C, if C alone can be a
    number of channels (1 or 3). Labels are integers (N,) or (N, 1), from `first_label`, of at least
    two classes.

    `path` is relative to `data_dir`, and does not leave it. `test_fraction` is None if the file has
    a test set of its own.
    """
    found = locate(data_dir, path)
    arrays = _read(found)
    names = next((one for one in (*SPLITS, WHOLE, ALONE) if set(one) <= set(arrays)), None)
    if names is None or (names is ALONE and not set(arrays) <= set(ALONE)):
        raise ValueError(
            f"{found} holds {', '.join(arrays) or 'nothing known'}: it needs "
            f"{'; or '.join(', '.join(names) for names in SPLITS)}; "
            f"or {' and '.join(WHOLE)}, and a test_fraction; or, where nothing is trained, "
            f"{' and '.join(ALONE)}"
        )
    if names is not WHOLE and test_fraction is not None:
        raise ValueError(f"{found} has a test set of its own: leave test_fraction out")
    if names is WHOLE and test_fraction is None:
        raise ValueError(f"{found} has no test set: say with test_fraction how much is for it")
    if names is not ALONE and classes is not None:
        raise ValueError(f"{found} has training images, which say what classes is: leave it out")

    def part(images: str, labels: str) -> Images:
        at, labels_at = f"{found}: {images}", f"{found}: {labels}"
        pixels = eight_bit(channels_first(arrays[images], at), at)
        return Images(
            pixels, from_zero(arrays[labels], len(pixels), labels_at, first_label=first_label)
        )

    unused = f"{found}: val_images and val_labels are not used; training holds out images itself"
    try:
        return learnable(
            [part(*names[at : at + 2]) for at in range(0, len(names), 2)],
            fraction=test_fraction,
            seed=split_seed,
            classes=classes,
            first_label=first_label,
            notes=(unused,) if UNUSED in arrays else (),
        )
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
        found: dict[str, Array] = read(path, (*SPLITS[0], *SPLITS[1], *WHOLE, UNUSED))
    except formats.UNREADABLE as error:
        raise ValueError(
            f"{path} cannot be read ({error}): write it again, with arrays of numbers alone"
        ) from error
    return found
