"""A user's own images, a folder a class."""

from pathlib import Path
from typing import Any

import numpy as np

from epsigma.datasets.images import Dataset, Images, learnable
from epsigma.datasets.pictures import SUFFIXES, read_pictures
from epsigma.storage.source import entries, locate

PARTS = ("train", "test")
VALIDATION = ("val", "valid", "validation")

Pictures = dict[str, list[Path]]


def folder(
    data_dir: Path,
    *,
    path: str,
    channels: int = 3,
    size: int | None = None,
    test_fraction: float | None = None,
    split_seed: int = 0,
) -> Dataset:
    """Read images from folders of classes: `path/train/class/image.png` and `path/test/...`.

    Or from `path/test/...` alone; or from `path/class/image.png`, of which `test_fraction` is split
    off. Beside `train` and `test`, `val`, `valid` or `validation` is to validate on. Classes are
    numbered in the order of the folders' names, code point by code point. Images are turned as EXIF
    says.

    Args:
        path: of the folder, relative to `data_dir`.
        channels, size: as of `read_pictures`.
        test_fraction: as of `file`; None if there are folders `train` and `test`.

    Raises:
        ValueError: if it is, or a link in it leads, outside `data_dir`; or as `read_pictures` does.
    """
    found = locate(data_dir, path)
    if not found.is_dir():
        raise ValueError(f"{found} is no folder: the kind `file` reads a single file")
    below = [entry.name for entry in entries(found, data_dir) if entry.is_dir()]
    split = all(part in below for part in PARTS)
    alone = below == ["test"] and test_fraction is None
    if split and test_fraction is not None:
        raise ValueError(
            f"{found} has a test set of its own, {found / 'test'}: leave test_fraction out"
        )
    if not split and not alone and test_fraction is None:
        raise ValueError(
            f"{found} has no folders train and test, of a folder a class each: make them, or say "
            "with test_fraction how much of its classes is for the test"
        )
    names = PARTS if split else ("test",) if alone else ("",)
    parts = [_pictures(found / name, data_dir) for name in names]
    classes = list(parts[0])
    own = _find_validation(found, below, data_dir) if split else []
    parts += [_pictures(found / name, data_dir) for name in own]
    for name, pictures in zip((*names, *own), parts, strict=True):
        unknown = [inside for inside in pictures if inside not in classes]
        if unknown:
            raise ValueError(
                f"{found / name}: {unknown[0]} is no class of {found / 'train'}: make a folder of "
                "it there, or remove it"
            )
    read = [_read_all(pictures, classes, channels, size) for pictures in parts]
    about: dict[str, Any] = {"validation": read.pop() if own else None, "class_names": classes}
    try:
        return learnable(read, fraction=test_fraction, seed=split_seed, **about)
    except ValueError as error:
        raise ValueError(f"{found}: {error}") from error


def _find_validation(found: Path, below: list[str], data_dir: Path) -> list[str]:
    """List at most one folder to validate on; one without folders of classes is left alone."""
    named = [name for name in VALIDATION if name in below]
    with_classes = (
        name for name in named if any(entry.is_dir() for entry in entries(found / name, data_dir))
    )
    return list(with_classes)[:1]


def _pictures(root: Path, data_dir: Path) -> Pictures:
    """List the images of each class; files beside the classes' folders are left alone."""
    pictures: Pictures = {}
    for entry in entries(root, data_dir):
        if entry.is_dir():
            inside = [Path(image.path) for image in entries(Path(entry.path), data_dir)]
            for path in inside:
                if path.suffix.lower() not in SUFFIXES:
                    raise ValueError(
                        f"{path} is none of {', '.join(SUFFIXES)}: convert it, or remove it"
                    )
            if not inside:
                raise ValueError(f"{entry.path} holds no image: remove it, or put some there")
            pictures[entry.name] = inside
    if not pictures:
        raise ValueError(f"{root} holds no folders: make one for each class, of its images")
    return pictures


def _read_all(pictures: Pictures, classes: list[str], channels: int, size: int | None) -> Images:
    paths = [path for inside in pictures.values() for path in inside]
    labels = np.repeat(
        [classes.index(name) for name in pictures], [len(inside) for inside in pictures.values()]
    )
    sources = ((str(path), path) for path in paths)
    return Images(
        read_pictures(sources, len(paths), channels=channels, size=size), labels.astype(np.int64)
    )
