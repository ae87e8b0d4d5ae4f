"""Sets of images that are written a batch at a time."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from epsigma.storage.checksums import Checksum, as_metadata
from epsigma.storage.files import appearing, naming_disk
from epsigma.storage.images import ImageSet
from epsigma.storage.rounding import encode
from epsigma.vocabulary import FLOAT32

_NAMES = {
    torch.int64: "I64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.bool: "BOOL",
}


class SetWriter:
    """Writes an adversarial or a filtered set of so many rows, as `write_image_set` does.

    Only a batch of its images is in memory at a time. Images are `stored_as` a type.
    """

    def __init__(
        self, path: Path, file: BinaryIO, rows: int, metadata: dict[str, str], stored_as: str
    ) -> None:
        self._path, self._file, self._rows, self._metadata = path, file, rows, metadata
        self._stored_as = stored_as
        self._sum = Checksum()
        self._done = 0
        self._parts: list[dict[str, Tensor]] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._header: dict[str, object] = {}

    def write(self, part: ImageSet) -> None:
        """Write the rows that follow."""
        images = encode(part.images, self._stored_as).cpu().contiguous()
        others = {"labels": part.labels, **(part.measures or {}), **(part.rows or {})}
        kept = {name: value.cpu().contiguous() for name, value in others.items()}
        with naming_disk(self._path):
            if not self._parts:
                self._lay_out({"images": images, **kept})
            octets = images.numpy()
            self._file.seek(self._places["images"][0] + self._done * images[0].nbytes)
            self._file.write(octets.data)
        self._sum.add(octets)
        self._parts.append(kept)
        self._done += len(images)

    def close(self) -> None:
        """Write what is small, and the header, which has the checksums.

        Raises:
            ValueError: if there are not as many rows as were announced.
        """
        if self._done != self._rows:
            raise ValueError(f"{self._path}: {self._done} rows of {self._rows}")
        joined = {name: torch.cat([part[name] for part in self._parts]) for name in self._parts[0]}
        sums = {"images": self._sum} | {name: Checksum() for name in joined}
        with naming_disk(self._path):
            for name, value in joined.items():
                sums[name].add(value.numpy())
                self._file.seek(self._places[name][0])
                self._file.write(value.numpy().data)
            found = as_metadata({name: str(value) for name, value in sums.items()})
            self._file.seek(0)
            self._file.write(self._make_header(found))

    def _lay_out(self, tensors: dict[str, Tensor]) -> None:
        """Decide where each tensor lies, from the first rows: in the order of safetensors."""
        at = 0
        order = sorted(tensors.items(), key=lambda pair: (-pair[1].dtype.itemsize, pair[0]))
        for name, value in order:
            size = self._rows * math.prod(value.shape[1:]) * value.dtype.itemsize
            shape = [self._rows, *value.shape[1:]]
            offsets = [at, at + size]
            self._header[name] = {
                "dtype": _NAMES[value.dtype],
                "shape": shape,
                "data_offsets": offsets,
            }
            self._places[name] = at, size
            at += size
        # Checksums are as long whatever they are.
        unknown = as_metadata({name: str(Checksum()) for name in tensors})
        begin = len(self._make_header(unknown))
        self._places = {name: (begin + at, size) for name, (at, size) in self._places.items()}

    def _make_header(self, sums: dict[str, str]) -> bytes:
        about = {"__metadata__": self._metadata | sums, **self._header}
        text = json.dumps(about, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


@contextmanager
def writing_set(
    path: str | Path, rows: int, metadata: dict[str, str], stored_as: str = FLOAT32
) -> Iterator[SetWriter]:
    """Write a set in the body, which appears whole when that is done, or not at all."""
    path = Path(path)
    with appearing(path) as temporary:
        with naming_disk(path):
            file = temporary.open("wb")
        with file:
            writer = SetWriter(path, file, rows, metadata, stored_as)
            yield writer
            writer.close()
