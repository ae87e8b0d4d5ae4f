"""IDX, the format of MNIST's files and of the sets that came after it, raw or gzipped."""

import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epsigma.datasets.images import Dataset, Images

# What values are, by the third byte of a file.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_UNSIGNED_BYTES = 0x08
_REMEDY = "replace it by the original"


@dataclass(frozen=True)
class Published:
    """Four IDX files as somebody published them: images and labels, of training and of test.

    The names are the same for every such set, so the sums alone say whose a file is.

    Args:
        title: what messages call the set.
        torchvision: the name of its class in `torchvision.datasets`; downloads go to
            `{torchvision}/raw` below the folder of data files.
        md5: the published sum of each file, by its name without `.gz`.
        gzipped: the sums are those of the gzipped files, which are the only ones read then: what
            is unpacked could not be checked. Else they are those of the raw bytes.
        elsewhere: folders where a system's package puts the files.
    """

    title: str
    torchvision: str
    md5: Mapping[str, str]
    gzipped: bool = False
    elsewhere: tuple[Path, ...] = ()

    def candidates(self, data_dir: Path, name: str) -> Iterator[Path]:
        """Find the files that may be the one of a name, the first to be tried first."""
        names = (f"{name}.gz",) if self.gzipped else (name, f"{name}.gz")
        for place in (data_dir, self.downloads(data_dir), *self.elsewhere):
            yield from (place / known for known in names if (place / known).is_file())

    def downloads(self, data_dir: Path) -> Path:
        """Say where torchvision puts its downloads."""
        return data_dir / self.torchvision / "raw"


def read_published(
    files: Published, data_dir: Path, *, train_size: int | None = None, test_size: int | None = None
) -> Dataset:
    """Read a published set, or download it by torchvision if none of its files is found.

    They lie in `data_dir`, in `files.downloads` below it, or `elsewhere`. A file that has the name
    but not the sum is passed over: another set's may lie beside it.
    """
    arrays, faults = _read_all(files, data_dir)
    if not arrays:
        _download(files, data_dir, faults)
        arrays, faults = _read_all(files, data_dir)
    for name, fault in faults.items():
        if name not in arrays:
            raise ValueError(f"{fault} (one in {files.downloads(data_dir)} will do as well)")
    missing = [name for name in files.md5 if name not in arrays]
    if missing:
        suffix, also = (".gz", "") if files.gzipped else ("", " (or with .gz)")
        raise FileNotFoundError(
            f"{files.title} in data_dir = {data_dir} is incomplete: {_listed(missing, suffix)} "
            f"missing, while other files are there. Add the missing ones under these names{also}, "
            "or empty the folder to have all of them downloaded"
        )

    def split(part: str) -> Images:
        return Images(
            images=arrays[f"{part}-images-idx3-ubyte"][:, None],
            labels=arrays[f"{part}-labels-idx1-ubyte"].astype(np.int64),
        )

    return Dataset(train=split("train").first(train_size), test=split("t10k").first(test_size))


def read_idx(path: Path, *, md5: str, gzipped: bool = False) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes; `md5` is the published sum, raw or `gzipped`.

    Raises:
        ValueError: if the file is truncated, of another format or not the published one.
    """
    packed = path.read_bytes()
    raw = unpack(packed, path) if path.suffix == ".gz" else packed
    if raw[:3] != bytes((0, 0, _UNSIGNED_BYTES)):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: {_REMEDY}")
    array = decode(raw, path)
    found = hashlib.md5(packed if gzipped else raw, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(
            f"{path} is not the published file: the MD5 sum of its "
            f"{'gzipped' if gzipped else 'raw'} bytes is {found}, not {md5} (altered, or another "
            f"file under this name): {_REMEDY}"
        )
    return array.astype(np.uint8, copy=False)


def unpack(packed: bytes, path: Path) -> bytes:
    """Unpack the gzipped bytes of a file; a ValueError if they are damaged."""
    try:
        return gzip.decompress(packed)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}): {_REMEDY}") from error


def decode(raw: bytes, path: Path) -> NDArray[np.generic]:
    """Read the array of an IDX file of any type, in the byte order of this machine.

    Raises:
        ValueError: if it is truncated, padded or of another format.
    """
    if len(raw) < 4 or raw[:2] != bytes(2) or raw[2] not in TYPES:
        raise ValueError(f"{path} is not an IDX file: {_REMEDY}")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise ValueError(f"{path} is truncated within its header: {_REMEDY}")
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header], dtype=">u4"))
    dtype = np.dtype(TYPES[raw[2]])
    held, over = divmod(len(raw) - header, dtype.itemsize)
    if held != math.prod(shape) or over:
        raise ValueError(
            f"{path} is truncated or padded: its header promises {math.prod(shape)} values "
            f"({' x '.join(map(str, shape))}), it holds {held}: {_REMEDY}"
        )
    array = np.frombuffer(raw, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_all(
    files: Published, data_dir: Path
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, ValueError]]:
    """Read the files that are what they should be, and say what is wrong with others."""
    arrays: dict[str, NDArray[np.uint8]] = {}
    faults: dict[str, ValueError] = {}
    for name, md5 in files.md5.items():
        for path in files.candidates(data_dir, name):
            try:
                arrays[name] = read_idx(path, md5=md5, gzipped=files.gzipped)
                break
            except ValueError as fault:
                faults.setdefault(name, fault)
    return arrays, faults


def _download(files: Published, data_dir: Path, faults: dict[str, ValueError]) -> None:
    torchvision = import_module("torchvision.datasets")
    try:
        getattr(torchvision, files.torchvision)(str(data_dir), download=True)
    except (OSError, RuntimeError) as error:
        suffix, how = (".gz", "gzipped") if files.gzipped else ("", "raw or gzipped")
        others = [f"; not its own: {fault}" for fault in faults.values()][:1]
        raise FileNotFoundError(
            f"{files.title} is not in data_dir = {data_dir} ({_listed(files.md5, suffix)}, {how}, "
            f"there or in {files.torchvision}/raw below it{''.join(others)}), and torchvision "
            f"could not download it ({str(error).strip()}). Put the files there, or name their "
            "folder: --config data_dir=FOLDER"
        ) from error


def _listed(names: Mapping[str, str] | list[str], suffix: str) -> str:
    return ", ".join(f"{name}{suffix}" for name in names)
