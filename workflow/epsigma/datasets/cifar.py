"""The binary version of CIFAR-10 and CIFAR-100, from its archive or a folder unpacked from it."""

import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epsigma.datasets.downloads import REMEDY, check_sum, download
from epsigma.datasets.images import Dataset, Images


@dataclass(frozen=True)
class Cifar:
    """One of the two sets, as its authors published it.

    Args:
        title: what messages call it.
        archive: name of the file that `md5` is the published sum of; none is published of the
            files in it.
        folder: in the archive.
        train, test: names of the files in the folder.
        per_class: how many images of a class there are, for training and for the test.
        label_bytes: how many labels come before an image, the last of which is its class.
    """

    title: str
    archive: str
    md5: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: int
    per_class: tuple[int, int]
    label_bytes: int = 1
    shape: tuple[int, int, int] = (3, 32, 32)

    @property
    def url(self) -> str:
        """Where the archive is downloaded from."""
        return f"https://www.cs.toronto.edu/~kriz/{self.archive}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all files."""
        return self.train + self.test


def read_cifar(
    files: Cifar, data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read a set from its binary version, or download that.

    `data_dir` has the archive, which is checked against its published sum, or else the folder
    unpacked from it, of which lengths and the numbers of labels are checked. The "Python version"
    is pickled, and unpickling runs whatever the file says.
    """
    folder, archive = data_dir / files.folder, data_dir / files.archive
    if not archive.is_file() and folder.is_dir():
        source, contents = folder, _read_folder(files, folder)
    else:
        if not archive.is_file():
            download(
                files.url,
                archive,
                md5=files.md5,
                missing=f"{files.title} is not in data_dir = {data_dir} (its binary version: "
                f"{files.archive}, or the folder {files.folder} unpacked from it; the Python "
                "version is pickled, and is not read)",
            )
        source, contents = archive, _read_archive(files, archive)
    train, test = (
        _decode(files, source, [contents[name] for name in names], per_class)
        for names, per_class in zip((files.train, files.test), files.per_class, strict=True)
    )
    return Dataset(train=train.first(train_size), test=test.first(test_size))


def _read_folder(files: Cifar, folder: Path) -> dict[str, bytes]:
    missing = [name for name in files.names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{files.title} in {folder} is incomplete: {', '.join(missing)} missing. Unpack "
            f"{files.archive} again, or remove the folder to have the archive downloaded"
        )
    return {name: (folder / name).read_bytes() for name in files.names}


def _read_archive(files: Cifar, archive: Path) -> dict[str, bytes]:
    """Read the files out of the archive; nothing is written to the disk."""
    check_sum(archive, files.md5)
    wanted = {f"{files.folder}/{name}": name for name in files.names}
    contents: dict[str, bytes] = {}
    try:
        # Once through, in the archive's own order: going back would unpack it again.
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name in wanted else None
                if content is not None:
                    contents[wanted[member.name]] = content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{archive} cannot be unpacked ({error}): {REMEDY}") from error
    missing = [name for name in wanted.values() if name not in contents]
    if missing:
        raise ValueError(f"{archive} lacks {', '.join(missing)}: {REMEDY}")
    return contents


def _decode(files: Cifar, source: Path, contents: Sequence[bytes], per_class: int) -> Images:
    """Take apart records of labels and the red, the green and the blue plane."""
    remedy = f"replace it by what {files.archive} holds"
    n, record = (
        files.classes * per_class // len(contents),
        files.label_bytes + int(np.prod(files.shape)),
    )
    for content in contents:
        if len(content) != n * record:
            raise ValueError(
                f"{source} is truncated or damaged: a file has {len(content)} bytes, not "
                f"{n} records of {record} bytes: {remedy}"
            )
    records = np.frombuffer(b"".join(contents), dtype=np.uint8).reshape(-1, record)
    images = Images(
        images=np.ascontiguousarray(records[:, files.label_bytes :]).reshape(-1, *files.shape),
        labels=records[:, files.label_bytes - 1].astype(np.int64),
    )
    counts = np.bincount(images.labels, minlength=files.classes)
    if counts.tolist() != [per_class] * files.classes:
        raise ValueError(
            f"{source} is not {files.title}: its labels 0, 1 ... come {counts.tolist()} times, and "
            f"not {files.classes} of them {per_class} times each: {remedy}"
        )
    return images
