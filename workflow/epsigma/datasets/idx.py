"""IDX, the format of MNIST's files, raw or gzipped."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_UNSIGNED_BYTES = 0x08


def find_idx(folder: Path, name: str) -> Path | None:
    """Find `name` or `name`.gz in `folder`, or in torchvision's `MNIST/raw` below it."""
    for place in (folder, folder / "MNIST" / "raw"):
        for candidate in (place / name, place / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def read_idx(path: Path, *, md5: str) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped if its name ends so.

    Args:
        path: the file.
        md5: the published sum of the raw (unzipped) bytes.

    Raises:
        ValueError: if the file is truncated, of another format or not the published one; the
            message names the file and the remedy.
    """
    remedy = "replace it by the original, or remove it to have it downloaded"
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is truncated or damaged ({error}): {remedy}") from error
    if len(raw) < 4 or raw[:3] != bytes((0, 0, _UNSIGNED_BYTES)):
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: {remedy}")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise ValueError(f"{path} is truncated within its header: {remedy}")
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header], dtype=">u4"))
    if len(raw) != header + math.prod(shape):
        raise ValueError(
            f"{path} is truncated or padded: its header promises {math.prod(shape)} values "
            f"({' x '.join(map(str, shape))}), it holds {len(raw) - header}: {remedy}"
        )
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(
            f"{path} is not the published file: the MD5 sum of its raw bytes is {found}, "
            f"not {md5} (altered, or another file under this name): {remedy}"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)
