"""A user's own images, a folder a class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from epsigma.datasets.images import Dataset, Images, learnable
from epsigma.storage.source import entries, locate

PARTS = ("train", "test")
# Pillow's decoders that are asked, and the names of their files: formats of a single image.
FORMATS = {"BMP": (".bmp",), "JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "PPM": (".pgm", ".ppm")}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
# By the number of channels, what Pillow calls them.
MODES = {1: "L", 3: "RGB"}

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
    off. Classes are numbered in the order of the folders' names, code point by code point. Images
    are turned as EXIF says.

    Args:
        path: of the folder, relative to `data_dir`.
        channels: 3 for red, green and blue; 1 for grey (L = 0.299 R + 0.587 G + 0.114 B).
        size: side to which each image is resized (bilinear, averaging what it shrinks; not
            cropped, so that what is not square is squeezed); None if all are of one size.
        test_fraction: as of `file`; None if there are folders `train` and `test`.

    Raises:
        ValueError: if it is, or a link in it leads, outside `data_dir`; or if a file is no image,
            or is damaged, transparent, of more than 8 bits or of another size than the first.
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
    for pictures in parts[1:]:
        unknown = [name for name in pictures if name not in classes]
        if unknown:
            raise ValueError(f"{found / 'test'}: {unknown[0]} is no class of {found / 'train'}")
    read = [_read_all(pictures, classes, channels, size) for pictures in parts]
    try:
        return learnable(read, fraction=test_fraction, seed=split_seed)
    except ValueError as error:
        raise ValueError(f"{found}: {error}") from error


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
    first = _read(paths[0], channels, size)
    images = np.empty((len(paths), *first.shape), np.uint8)
    for index, path in enumerate(paths):
        image = _read(path, channels, size)
        if image.shape != first.shape:
            raise ValueError(
                f"{path} is {_sides(image)}, and {paths[0]} {_sides(first)}: say with size to what "
                "all are to be resized"
            )
        images[index] = image
    labels = np.repeat(
        [classes.index(name) for name in pictures], [len(inside) for inside in pictures.values()]
    )
    return Images(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels.astype(np.int64))


def _read(path: Path, channels: int, size: int | None) -> NDArray[np.uint8]:
    """Read an image as (H, W, C)."""
    try:
        with Image.open(path, formats=list(FORMATS)) as opened:
            opened.load()
            # Cameras store what they saw, and say in EXIF how to turn it.
            image: Image.Image = ImageOps.exif_transpose(opened)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read ({error}): replace it, or remove it") from error
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise ValueError(
            f"{path} is of the mode {image.mode}, not 8-bit grey, RGB or of a palette: convert it"
        )
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if alpha is not None and alpha.getextrema() != (255, 255):
        raise ValueError(f"{path} is transparent: lay it on a background, or remove it")
    # From the palette to its colours first: grey is made of them.
    image = image.convert("RGB").convert(MODES[channels])
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def _sides(image: NDArray[np.uint8]) -> str:
    height, width = image.shape[:2]
    return f"{height} x {width}"
