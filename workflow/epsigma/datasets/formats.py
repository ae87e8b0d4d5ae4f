"""The formats of the data set `file`: a function for each ending, named after it.

It reads the arrays that have one of the names it is given, and executes no pickle.
"""

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from epsigma.datasets.arrays import Array

# What readers raise for files that are damaged, or hold something else.
UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, NotImplementedError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error, SafetensorError),
)


def read_npz(path: Path, names: Collection[str]) -> dict[str, Array]:
    """Read arrays from an archive of NumPy's."""
    if not zipfile.is_zipfile(path):
        # What numpy.load takes for a single array, or for a pickle.
        raise ValueError("it is truncated, or no .npz archive")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in names if name in archive.files}


def read_safetensors(path: Path, names: Collection[str]) -> dict[str, Array]:
    """Read arrays from a safetensors file."""
    with safe_open(path, framework="numpy") as tensors:
        known = [name for name in names if name in tensors.keys()]  # noqa: SIM118
        return {name: tensors.get_tensor(name) for name in known}
