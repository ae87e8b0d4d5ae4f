"""Sets that one stage makes and another one scores in the same job, and that nobody keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from epsigma.device import CPU
from epsigma.storage.files import temporary_name
from epsigma.storage.images import ImageSet, is_measure
from epsigma.storage.rounding import DTYPES, encode
from epsigma.storage.stored import EncodedImages, StoredSet, count_kept, name_type, open_image_set
from epsigma.storage.writing import SetWriter, writing_set
from epsigma.vocabulary import FLOAT32


class HeldSet:
    """An adversarial or a filtered set, as long as the body of `with` runs.

    It is in memory, on the CPU. If that is more than `count_kept` allows it is in a file, which is
    removed at the end; what a killed job leaves of it has a temporary name.

    Args:
        beside: a file that the job makes. The set's own would be in the same folder.
    """

    def __init__(self, beside: str | Path) -> None:
        self.beside = Path(beside)
        self._path = temporary_name(self.beside.with_suffix(".safetensors"))
        self._held: StoredSet | None = None

    def __str__(self) -> str:
        """Name the set by the file that is made of it."""
        return f"the set of {self.beside}"

    def __enter__(self) -> Self:
        """Begin with nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the images."""
        self._held = None
        self._path.unlink(missing_ok=True)

    @contextmanager
    def writing(
        self, shape: torch.Size, rows: int, metadata: dict[str, str], stored_as: str = FLOAT32
    ) -> Iterator["SetWriter | HeldWriter"]:
        """Take a set of so many images (C, H, W) in the body, as `writing_set` writes one."""
        whole = torch.Size((rows, *shape))
        if rows > count_kept(whole):
            with writing_set(self._path, rows, metadata, stored_as) as file:
                yield file
            return
        writer = HeldWriter(torch.empty(whole, dtype=DTYPES[stored_as]))
        yield writer
        self._held = writer.join()

    def open(self) -> StoredSet:
        """Read the set, on the CPU."""
        return self._held or open_image_set(self._path, CPU)


class HeldWriter:
    """Takes a set a batch at a time, into images (N, C, H, W) that are to be filled.

    They have the type that the set is stored as.
    """

    def __init__(self, images: Tensor) -> None:
        self._images, self._stored_as = images, name_type(images.dtype)
        self._done = 0
        self._parts: list[dict[str, Tensor]] = []

    def write(self, part: ImageSet) -> None:
        """Take the rows that follow."""
        end = self._done + len(part.images)
        self._images[self._done : end] = encode(part.images, self._stored_as)
        self._done = end
        others = {"labels": part.labels, **(part.measures or {}), **(part.rows or {})}
        self._parts.append({name: value.cpu() for name, value in others.items()})

    def join(self) -> StoredSet:
        """Put the parts together.

        Raises:
            ValueError: if they are not as many rows as were announced.
        """
        if self._done != len(self._images):
            raise ValueError(f"{self._done} rows of {len(self._images)}")
        # In a file's order, which is that of a ledger's columns.
        names = sorted(self._parts[0])
        joined = {name: torch.cat([part[name] for part in self._parts]) for name in names}
        is_float = self._stored_as == FLOAT32
        images = self._images if is_float else EncodedImages(self._images)
        return StoredSet(
            images,
            joined["labels"],
            {name: value for name, value in joined.items() if is_measure(name)},
            {name: joined[name] for name in ImageSet.ROWS} if "index" in joined else None,
            self._stored_as,
        )
