"""Where a file comes from: the record in its metadata."""

import json
import sys
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from epsigma import __version__

_RECORDED = (
    *("torch", "kornia", "opencv-python-headless", "pytorch-lightning", "numpy"),
    *("safetensors", "pyarrow"),
)


def record(cell: dict[str, str], settings: dict[str, Any], code: str) -> dict[str, str]:
    """Say, as metadata of a file, which cell it is and, with the code's digest, what made it."""
    return {
        "cell": json.dumps(cell),
        "settings": json.dumps(settings),
        "code": code,
        "versions": json.dumps(versions()),
    }


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Name the versions of Python, epsigma and the packages that do the arithmetic."""
    found = {"python": sys.version.split()[0], "epsigma": __version__}
    for package in _RECORDED:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
