"""A user's own images, in Parquet files as Hugging Face's `datasets` writes them."""

import json
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from epsigma.datasets.arrays import from_zero
from epsigma.datasets.images import Dataset, Images, learnable
from epsigma.datasets.pictures import read_pictures
from epsigma.storage.source import entries, locate

PARTS = ("train", "test")
SUFFIX = ".parquet"


def parquet(
    data_dir: Path,
    *,
    path: str,
    image: str = "image",
    label: str = "label",
    channels: int = 3,
    size: int | None = None,
    first_label: int = 0,
    test_fraction: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Read a Parquet file, or a folder of those whose names begin with `train` and with `test`.

    A row is an image: its encoded bytes, alone or beside their `path` in a struct, and its label,
    an integer. Classes are named as the schema's metadata of Hugging Face says.

    Args:
        path: of the file, of which `test_fraction` is split off, or of the folder, relative to
            `data_dir`. What begins otherwise, as `validation-…`, is not used.
        image, label: names of the columns.
        channels, size: as of `read_pictures`.
        first_label: the label of the first class.

    Source: huggingface.co/docs/datasets, the features Image and ClassLabel.
    """
    found = locate(data_dir, path)
    if found.is_dir() and test_fraction is not None:
        raise ValueError(f"{found} is a folder of two sets: leave test_fraction out")
    if not found.is_dir() and test_fraction is None:
        raise ValueError(f"{found} is one set: say with test_fraction how much is for the test")
    sets = [_find(found, part, data_dir) for part in PARTS] if found.is_dir() else [[found]]
    notes: tuple[str, ...] = ()
    try:
        parts: list[Images] = []
        for files in sets:
            tables = [_read(file, image, label) for file in files]
            notes = notes or _name_classes(tables[0].schema, label)
            labels = np.concatenate([table[label].to_numpy() for table in tables])
            sources = chain.from_iterable(map(_pictures, files, tables, repeat(image)))
            pictures = read_pictures(sources, len(labels), channels=channels, size=size)
            at = f"{files[0]}: labels"
            numbers = from_zero(labels, len(labels), at, first_label=first_label)
            parts.append(Images(pictures, numbers))
        return learnable(
            parts, fraction=test_fraction, seed=split_seed, first_label=first_label, notes=notes
        )
    except ValueError as error:
        named = str(error).startswith(str(found))
        raise error if named else ValueError(f"{found}: {error}") from error


def _find(folder: Path, part: str, data_dir: Path) -> list[Path]:
    """List the files of a part: `part*.parquet`, or those in a folder of its name."""
    found: list[Path] = []
    listed = entries(folder, data_dir)
    # A repository of Hugging Face's Hub has them in its folder `data`.
    inside = [entry.path for entry in listed if entry.name == "data" and entry.is_dir()]
    for entry in entries(Path(inside[0]), data_dir) if inside else listed:
        if entry.name == part and entry.is_dir():
            found += [Path(inner.path) for inner in entries(Path(entry.path), data_dir)]
        elif entry.name.startswith(part):
            found.append(Path(entry.path))
    found = [path for path in found if path.suffix == SUFFIX and path.is_file()]
    if not found:
        raise ValueError(
            f"{folder} has no files {part}*{SUFFIX}: rename its files, or name the file of one set"
        )
    return found


def _read(path: Path, image: str, label: str) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for key, name in (("image", image), ("label", label)):
                if name not in names:
                    raise ValueError(
                        f"{path} has no column {name!r}: name one of {', '.join(names)} with {key}"
                    )
            table = file.read(columns=[image, label])
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): replace it") from error
    labels = table[label]
    if not pa.types.is_integer(labels.type) or labels.null_count:
        raise ValueError(
            f"{path}: {label} is of the type {labels.type}, {labels.null_count} values of which "
            "are missing: write an integer for each image, from 0, as the feature ClassLabel does"
        )
    return table


def _pictures(path: Path, table: pa.Table, image: str) -> Iterator[tuple[str, bytes]]:
    """Go through the encoded images of a file, and say which row each is."""
    column = table[image]
    if pa.types.is_struct(column.type) and "bytes" in column.type.names:
        column = pc.struct_field(column, "bytes")
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise ValueError(
            f"{path}: {image} is of the type {column.type}: a column of encoded images is read, "
            "bytes or a struct with them"
        )
    for row, cell in enumerate(column):
        name = f"{path}, row {row},"
        content = cell.as_py()
        if content is None:
            raise ValueError(f"{name} has no bytes: write the file again with its images in it")
        yield name, content


def _name_classes(schema: pa.Schema, label: str) -> tuple[str, ...]:
    """Say how Hugging Face's metadata name the classes; nothing if they do not."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = list(features[label]["names"])
    except (ValueError, KeyError, TypeError):
        return ()
    return (f"classes: {', '.join(f'{number} {name}' for number, name in enumerate(names))}",)
