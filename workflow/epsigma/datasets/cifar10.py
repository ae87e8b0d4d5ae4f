"""CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels, in colour."""

import tarfile
import zlib
from pathlib import Path

import numpy as np

from epsigma.datasets.images import Dataset, Images
from epsigma.storage.files import atomic_write

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE = "cifar-10-binary.tar.gz"
# The published sum of the archive; none is published of the files in it.
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)

SHAPE = (3, 32, 32)
CLASSES = 10
# Images of a class, in training and in test.
PER_CLASS = (5000, 1000)


def cifar10(
    data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read CIFAR-10 from its binary version, or download that.

    `data_dir` has `cifar-10-binary.tar.gz`, which is checked against its published sum, or else
    `cifar-10-batches-bin`, unpacked from it, of which lengths and the numbers of labels are
    checked. The "Python version" is pickled, and unpickling runs whatever the file says.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """
    folder, archive = data_dir / FOLDER, data_dir / ARCHIVE
    if not archive.is_file() and folder.is_dir():
        source, files = folder, _read_folder(folder)
    else:
        if not archive.is_file():
            _download(archive)
        source, files = archive, _read_archive(archive)
    train, test = (
        _decode(source, [files[name] for name in names], per_class)
        for names, per_class in zip((TRAIN, TEST), PER_CLASS, strict=True)
    )
    return Dataset(train=train.first(train_size), test=test.first(test_size))


def _read_folder(folder: Path) -> dict[str, bytes]:
    missing = [name for name in (*TRAIN, *TEST) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"CIFAR-10 in {folder} is incomplete: {', '.join(missing)} missing. Unpack {ARCHIVE} "
            "again, or remove the folder to have the archive downloaded"
        )
    return {name: (folder / name).read_bytes() for name in (*TRAIN, *TEST)}


def _read_archive(archive: Path) -> dict[str, bytes]:
    """Read the files out of the archive; nothing is written to the disk."""
    from torchvision.datasets.utils import calculate_md5

    remedy = "remove it to have it downloaded again"
    if (found := calculate_md5(archive)) != MD5:
        raise ValueError(
            f"{archive} is not the published archive: its MD5 sum is {found}, not {MD5} "
            f"(truncated, altered, or another file under this name): {remedy}"
        )
    wanted = {f"{FOLDER}/{name}": name for name in (*TRAIN, *TEST)}
    files: dict[str, bytes] = {}
    try:
        # Once through, in the archive's own order: going back would unpack it again.
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in wanted else None
                if content is not None:
                    files[wanted[member.name]] = content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{archive} cannot be unpacked ({error}): {remedy}") from error
    missing = [name for name in wanted.values() if name not in files]
    if missing:
        raise ValueError(f"{archive} lacks {', '.join(missing)}: {remedy}")
    return files


def _decode(source: Path, files: list[bytes], per_class: int) -> Images:
    """Take apart records of a label and the red, the green and the blue plane."""
    remedy = f"replace it by what {ARCHIVE} holds"
    n, record = CLASSES * per_class // len(files), 1 + int(np.prod(SHAPE))
    for content in files:
        if len(content) != n * record:
            raise ValueError(
                f"{source} is truncated or damaged: a file has {len(content)} bytes, not "
                f"{n} records of {record} bytes: {remedy}"
            )
    records = np.frombuffer(b"".join(files), dtype=np.uint8).reshape(-1, record)
    images = Images(
        images=np.ascontiguousarray(records[:, 1:]).reshape(-1, *SHAPE),
        labels=records[:, 0].astype(np.int64),
    )
    counts = np.bincount(images.labels, minlength=CLASSES)
    if counts.tolist() != [per_class] * CLASSES:
        raise ValueError(
            f"{source} is not CIFAR-10: its labels 0, 1 ... come {counts.tolist()} times, and not "
            f"{CLASSES} of them {per_class} times each: {remedy}"
        )
    return images


def _download(archive: Path) -> None:
    from torchvision.datasets.utils import download_url

    try:
        with atomic_write(archive) as temporary:
            download_url(URL, str(temporary.parent), temporary.name, MD5)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"CIFAR-10 is not in data_dir = {archive.parent} (its binary version: {ARCHIVE}, or "
            f"the folder {FOLDER} unpacked from it; the Python version is pickled, and is not "
            f"read), and torchvision could not download it ({str(error).strip()}). Put the "
            "archive there, or name its folder: --config data_dir=FOLDER"
        ) from error
