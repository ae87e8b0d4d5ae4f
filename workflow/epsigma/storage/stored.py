"""Sets of images that are read a batch at a time."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from epsigma.storage.checksums import Checksum, verify_sums
from epsigma.storage.files import damaged
from epsigma.storage.images import ImageSet, has_validation, is_measure, to_float
from epsigma.storage.rounding import DTYPES
from epsigma.vocabulary import FLOAT32

# Bytes of images, as float32, that are read at once and kept.
KEPT = 64_000_000
# Bytes that are read at a time to be verified.
BLOCK = 4_000_000
_DTYPES = {"U8": torch.uint8, "I8": torch.int8, "F16": torch.float16, "F32": torch.float32}


def count_kept(shape: torch.Size) -> int:
    """Say how many images, of (N, C, H, W), take no more memory than may be kept; at least one."""
    return max(1, KEPT // (4 * math.prod(shape[1:])))


class StoredImages:
    """The images (N, C, H, W) of a safetensors file, of which slices are read: float32.

    Args:
        path: of the file.
        at: where they begin in it, in bytes.
        shape: (N, C, H, W).
        dtype: in the file: float32; or uint8 or float16, of which 255 is 1; or, of directions,
            int8.
        device: where what is read is put.
    """

    def __init__(
        self, path: Path, at: int, shape: torch.Size, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._path, self._at, self.dtype, self._device = path, at, dtype, device
        self.shape = shape
        self._size = math.prod(shape[1:]) * dtype.itemsize
        self._kept: Tensor | None = None

    def __len__(self) -> int:
        """N."""
        return self.shape[0]

    def __getitem__(self, at: slice | Tensor) -> Tensor:
        """Read a slice of the images, or those of an index (M,), as (M, C, H, W)."""
        if self._kept is not None:
            return to_float(self._kept[at])
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            found = self._read(start, max(start, stop))[::step]
        else:
            found = self._read_some(at.cpu())
        return to_float(found).to(self._device)

    def verify(self) -> Checksum:
        """Sum up what is in the file; if it is little, keep it."""
        found, rows = Checksum(), max(1, BLOCK // max(self._size, 1))
        if len(self) <= count_kept(self.shape):
            whole = self._read(0, len(self))
            found.add(whole.numpy())
            # On the CPU as they are in the file: of 8 bits that is a quarter of the memory.
            is_here = self._device.type == "cpu"
            self._kept = whole if is_here else to_float(whole).to(self._device)
            return found
        for start in range(0, len(self), rows):
            found.add(self._read(start, min(start + rows, len(self))).numpy())
        return found

    def _read_some(self, index: Tensor) -> Tensor:
        """Read the rows of an index (M,): with all between them, unless those are the most."""
        if not len(index):
            return self._read(0, 0)
        first, last = int(index.min()), int(index.max())
        if last - first < 2 * len(index):
            return self._read(first, last + 1)[index - first]
        return torch.cat([self._read(row, row + 1) for row in index.tolist()])

    def _read(self, start: int, stop: int) -> Tensor:
        """Read rows of the file. No memory of it is mapped: that would count as the process's."""
        # torch aligns it, as products want it that are to be rounded alike.
        rows = torch.empty((stop - start, *self.shape[1:]), dtype=self.dtype)
        octets = rows.numpy().data.cast("B") if rows.numel() else memoryview(b"")
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._at + start * self._size)
            done = 0
            while done < len(octets):
                read = file.readinto(octets[done:])
                if not read:
                    raise damaged(self._path, "it is cut off")
                done += read
        return rows


class EncodedImages:
    """Images (N, C, H, W) that are in memory as a file has them; slices of it are float32."""

    def __init__(self, images: Tensor) -> None:
        self._images = images
        self.shape = images.shape

    def __len__(self) -> int:
        """N."""
        return self.shape[0]

    def __getitem__(self, at: slice | Tensor) -> Tensor:
        """Some of the images, (M, C, H, W)."""
        return to_float(self._images[at])


@dataclass(frozen=True)
class StoredSet:
    """A set whose images are read a batch at a time; all else is as in `ImageSet`.

    They are `stored_as` that type.
    """

    images: StoredImages | EncodedImages | Tensor
    labels: Tensor
    measures: dict[str, Tensor]
    rows: dict[str, Tensor] | None = None
    stored_as: str = FLOAT32


def open_image_set(path: str | Path, device: torch.device) -> StoredSet:
    """Open an adversarial or a filtered set; what is in it is verified."""
    return _open(path, device, ImageSet.MEASURES)


def open_clean(path: str | Path, device: torch.device) -> StoredSet:
    """Open a data set's images; what is in the file is verified."""
    return _open(path, device, ())


def open_validation(path: str | Path, device: torch.device) -> StoredSet | None:
    """Open what a data set brings to validate on, of the file of its training images, or None."""
    return _open(path, device, (), "validation_") if has_validation(path) else None


def _open(
    path: str | Path, device: torch.device, measures: tuple[str, ...], part: str = ""
) -> StoredSet:
    path, labels = Path(path), f"{part}labels"
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            wanted = (f"{part}images", labels, *measures)
            if missing := [one for one in wanted if one not in names]:
                raise damaged(path, f"it has no tensor {', '.join(missing)}")
            are_images = [name for name in names if name.endswith("images")]
            others = [name for name in names if name not in are_images]
            tensors = {name: file.get_tensor(name).clone() for name in others}
            metadata = file.metadata()
        images = {name: _find_images(path, name, device) for name in are_images}
        sums = {name: one.verify() for name, one in images.items()}
        sums |= {name: Checksum() for name in tensors}
        for name, value in tensors.items():
            sums[name].add(value.numpy())
        verify_sums({name: str(value) for name, value in sums.items()}, metadata)
    except (SafetensorError, OSError, LookupError, TypeError) as error:
        raise damaged(path, error) from error
    except ValueError as error:
        raise error if str(path) in str(error) else damaged(path, error) from error
    moved = {name: value.to(device) for name, value in tensors.items()}
    found = images[f"{part}images"]
    return StoredSet(
        found,
        moved[labels],
        {name: value for name, value in moved.items() if is_measure(name)},
        {name: moved[name] for name in ImageSet.ROWS} if "index" in moved else None,
        name_type(found.dtype),
    )


def name_type(dtype: torch.dtype) -> str:
    """Say what a study calls a type of images; of directions, its own name."""
    names = {value: name for name, value in DTYPES.items()}
    return names.get(dtype, str(dtype).removeprefix("torch."))


def _find_images(path: Path, name: str, device: torch.device) -> StoredImages:
    """Find the images of a name in a file that safetensors has found to be one."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(length))[name]
    if about["dtype"] not in _DTYPES:
        raise ValueError(f"images of {about['dtype']}")
    begin = 8 + length + about["data_offsets"][0]
    shape, dtype = torch.Size(about["shape"]), _DTYPES[about["dtype"]]
    return StoredImages(path, begin, shape, dtype, device)
