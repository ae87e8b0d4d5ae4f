"""What a data set is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# Beyond this a drift is no chance: the probability is 2 exp(−2 d²), 4e-6 a class at 2.55.
_DRIFT = 2.55


@dataclass(frozen=True)
class Images:
    """Labelled images, (N, C, H, W), and labels (N,) int64, from 0; else ValueError.

    Images are uint8; or float32 or float64 in [0, 1], which `epsigma.datasets.arrays.to_pixels`
    holds them to before they are written.
    """

    images: NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float64]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype not in (np.uint8, np.float32, np.float64):
            raise ValueError(
                f"images are {self.images.dtype} of shape {self.images.shape}, "
                "not uint8 from 0 to 255 or floats from 0 to 1, of shape (N, C, H, W)"
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != np.int64:
            raise ValueError(
                f"labels are {self.labels.dtype} of shape {self.labels.shape}, "
                f"not int64 of shape ({len(self.images)},): give a class for each image"
            )
        if not len(self.labels):
            raise ValueError("there are no images: add some")
        if self.labels.min() < 0:
            raise ValueError(f"there is a label {self.labels.min()}; labels count from 0")

    def first(self, n: int | None) -> "Images":
        """Return the first `n` of them (all, if None); a ValueError if there are fewer."""
        if n is not None and n > len(self.labels):
            raise ValueError(
                f"{n} images were asked for, there are {len(self.labels)}: lower train_size or "
                "test_size, or leave it out"
            )
        return Images(self.images[:n], self.labels[:n])


@dataclass(frozen=True)
class Dataset:
    """Training and test images of as many classes as the training labels name.

    Args:
        train: for training; None if there are none, which is enough where nothing is trained.
        test: for the test.
        named: without training images, how many classes there are; None for as many as the test
            labels name.
        notes: what the log is to say of how they were read, a sentence each.
        validation: to validate on; None if a part of the training images is to be held out.
        class_names: by label, one for each class at least; empty if they have none.
    """

    train: Images | None
    test: Images
    named: int | None = None
    notes: tuple[str, ...] = ()
    validation: Images | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.class_names and len(self.class_names) < self.classes:
            raise ValueError(
                f"there are {self.classes} classes and {len(self.class_names)} class names: name "
                "each, or none"
            )
        if self.validation is not None:
            self._check_validation(self.validation)
        if self.train is None:
            if self.test.labels.max() >= self.classes:
                raise ValueError(
                    f"there is a test label {self.test.labels.max()}, and with {self.classes} "
                    f"classes labels go up to {self.classes - 1}: say more classes, or leave it out"
                )
            return
        if self.named is not None:
            raise ValueError("training labels say how many classes there are: leave classes out")
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise ValueError(
                f"training images are {self.train.images.shape[1:]}, "
                f"test images {self.test.images.shape[1:]}: make them of one shape"
            )
        if self.test.labels.max() >= self.classes:
            raise ValueError(
                f"the test label {self.test.labels.max()} does not occur in training: add training "
                "images of it, or leave out its test images"
            )

    def _check_validation(self, validation: Images) -> None:
        if validation.images.shape[1:] != self.test.images.shape[1:]:
            raise ValueError(
                f"validation images are {validation.images.shape[1:]}, "
                f"test images {self.test.images.shape[1:]}: make them of one shape"
            )
        if validation.labels.max() >= self.classes:
            raise ValueError(
                f"there is a validation label {validation.labels.max()}, and with {self.classes} "
                f"classes labels go up to {self.classes - 1}: leave its images out"
            )

    @property
    def classes(self) -> int:
        """How many classes there are."""
        if self.named is not None:
            return self.named
        return int((self.train or self.test).labels.max()) + 1


def is_ordered(labels: NDArray[np.int64]) -> bool:
    """Say whether labels (N,) come in an order of the classes, so that the first few mislead.

    Either no more than half as many neighbours differ as would in a random order; or the share of a
    class among the first n drifts farther from its share of all than chance takes it (the bound of
    Kolmogorov and Smirnov, which a random order of 10 classes exceeds once in 20,000 times).
    """
    n = len(labels)
    classes, counts = np.unique(labels, return_counts=True)
    differing = np.count_nonzero(np.diff(labels))
    if n > 1 and differing <= (n - (counts**2).sum() / n) / 2:
        return len(classes) > 1
    for number, count in zip(classes, counts, strict=True):
        drift = np.cumsum(labels == number) - np.arange(1, n + 1) * count / n
        if np.abs(drift).max() > _DRIFT * np.sqrt(count * (n - count) / n):
            return True
    return False


def stratified_order(labels: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.int64]:
    """Order images of labels (N,) at random, so that the first n hold each class in proportion.

    Returns:
        (N,) int64, a permutation. Of n images a class has its share, to within one image.
    """
    random = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for number in np.unique(labels):
        members = np.flatnonzero(labels == number)
        place[random.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    # Classes of one size are at the same places: chance orders these.
    return np.lexsort((random.random(len(labels)), place)).astype(np.int64)


def stratified_split(whole: Images, *, test_size: int, seed: int) -> Dataset:
    """Split at random, each class in the same proportion on both sides."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(len(whole.labels)), test_size=test_size, random_state=seed, stratify=whole.labels
    )
    return Dataset(
        train=Images(whole.images[train], whole.labels[train]),
        test=Images(whole.images[test], whole.labels[test]),
    )


def _split_off(whole: Images, fraction: float, seed: int) -> Dataset:
    """Split off a fraction for the test, each class in proportion; each side needs one of each."""
    n = len(whole.labels)
    numbers, counts = np.unique(whole.labels, return_counts=True)
    test_size = round(n * fraction)
    if counts.min() < 2:
        raise ValueError(
            f"there is one image of the class {numbers[counts.argmin()]}: a split needs two of each"
        )
    if not len(numbers) <= test_size <= n - len(numbers):
        raise ValueError(
            f"test_fraction: {fraction} of {n} images leaves {n - test_size} to train on and "
            f"{test_size} for the test, of {len(numbers)} classes: each side needs one of each; "
            "say another test_fraction"
        )
    return stratified_split(whole, test_size=test_size, seed=seed)


def learnable(
    parts: Sequence[Images],
    *,
    fraction: float | None,
    seed: int,
    classes: int | None = None,
    first_label: int = 0,
    notes: tuple[str, ...] = (),
    validation: Images | None = None,
    class_names: Sequence[str] = (),
) -> Dataset:
    """Make a data set of somebody's own images, on which a classifier can be trained, or scored.

    Args:
        parts: for training and for the test; or all, of which a fraction is split off; or, without
            a fraction, for the test alone.
        fraction: of the test images; None if there are some.
        seed: of the split.
        classes: of test images alone, how many classes there are; None for as many as they name.
        first_label: what the user calls the label 0.
        notes, validation: of the data set.
        class_names: by label; if they are too few, the classes have none, which the notes say.

    Raises:
        ValueError: if it has fewer than two classes, or one without training images although there
            are some.
    """
    is_alone = fraction is None and len(parts) == 1
    numbers = np.unique(parts[0].labels)
    gaps = np.flatnonzero(numbers != np.arange(len(numbers)))
    if len(gaps) and not is_alone:
        low, high, empty = (int(n) + first_label for n in (numbers[0], numbers[-1], gaps[0]))
        hint = f"say first_label: {low}, if they count from there, or " if gaps[0] == 0 else ""
        raise ValueError(
            f"labels go up to {high}, and no training image has the label {empty}: {hint}number "
            f"the classes {first_label}, {first_label + 1}, {first_label + 2} ... without a gap"
        )
    if fraction is None:
        data = Dataset(None if is_alone else parts[0], parts[-1], classes)
    else:
        data = _split_off(parts[0], fraction, seed)
    if data.classes < 2:
        raise ValueError("there is one class; a classifier needs two: add images of another")
    named = tuple(class_names)
    if named and len(named) < data.classes:
        few = f"{data.classes} classes and {len(named)} class names: classes go by their numbers"
        named, notes = (), (*notes, few)
    return replace(data, notes=notes, validation=validation, class_names=named)
