"""Pictures: files of single images, as cameras and programs write them, made arrays."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

# Pillow's decoders that are asked, and the names of their files: formats of a single image.
FORMATS = {"BMP": (".bmp",), "JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "PPM": (".pgm", ".ppm")}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
# The largest value of 8 bits.
LARGEST = 255
# By the number of channels, what Pillow calls them.
MODES = {1: "L", 3: "RGB"}


def read_pictures(
    sources: Iterable[tuple[str, Path | bytes]], n: int, *, channels: int, size: int | None
) -> NDArray[np.uint8]:
    """Read `n` pictures of one size, or made so, as (N, C, H, W). They are turned as EXIF says.

    Args:
        sources: what errors call each, and its file, or the bytes of one.
        n: how many there are.
        channels: 3 for red, green and blue; 1 for grey (L = 0.299 R + 0.587 G + 0.114 B).
        size: side to which each is resized (bilinear, averaging what it shrinks; not cropped, so
            that what is not square is squeezed); None if all are of one size.

    Raises:
        ValueError: if one is no picture, or is damaged, transparent, of more than 8 bits or of
            another size than the first.
    """
    images = np.empty((n, 0, 0, channels), np.uint8)
    first = ""
    for index, (name, source) in enumerate(sources):
        image = _read(name, source, channels, size)
        if index == 0:
            images, first = np.empty((n, *image.shape), np.uint8), name
        if image.shape != images.shape[1:]:
            raise ValueError(
                f"{name} is {_sides(image)}, and {first} {_sides(images[0])}: say with size to "
                "what all are to be resized"
            )
        images[index] = image
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _read(name: str, source: Path | bytes, channels: int, size: int | None) -> NDArray[np.uint8]:
    """Read an image as (H, W, C)."""
    file = BytesIO(source) if isinstance(source, bytes) else source
    try:
        with Image.open(file, formats=list(FORMATS)) as opened:
            deep = _name_deep(opened)
            opened.load()
            # Cameras store what they saw, and say in EXIF how to turn it.
            image: Image.Image = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name} cannot be read (no {', '.join(FORMATS)}): convert it, replace it, or remove it"
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read ({error}): replace it, or remove it") from error
    if deep or image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        mode = deep or image.mode
        raise ValueError(
            f"{name} is of the mode {mode}, not 8-bit grey, RGB or of a palette: convert it"
        )
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    if alpha is not None and alpha.getextrema() != (255, 255):
        raise ValueError(f"{name} is transparent: lay it on a background, or remove it")
    # From the palette to its colours first: grey is made of them.
    image = image.convert("RGB").convert(MODES[channels])
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def _name_deep(opened: ImageFile.ImageFile) -> str | None:
    """Name the mode in the file of a picture that is not loaded, if Pillow would cut it to 8 bits.

    None if it would not. What is to be decoded says so: a PNG's mode in the file ends with `16B`,
    and a PPM has its largest value beside the mode.
    """
    for _, _, _, how in opened.tile:
        if isinstance(how, str) and how.endswith("16B"):
            return how
        if opened.format == "PPM" and isinstance(how, tuple) and how[1] > LARGEST:
            return f"{how[0]} (values up to {how[1]})"
    return None


def _sides(image: NDArray[np.uint8]) -> str:
    height, width = image.shape[:2]
    return f"{height} x {width}"
