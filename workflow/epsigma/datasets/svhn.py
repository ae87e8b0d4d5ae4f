"""SVHN: 73,257 training and 26,032 test images of house numbers' digits, 32 x 32, in colour."""

from pathlib import Path

import numpy as np

from epsigma.datasets.downloads import REMEDY, check_sum, download
from epsigma.datasets.images import Dataset, Images

URL = "http://ufldl.stanford.edu/housenumbers/"
# The published files of cropped digits, and the sums that torchvision knows of them.
MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def svhn(data_dir: Path, *, train_size: int | None = None, test_size: int | None = None) -> Dataset:
    """Read `train_32x32.mat` and `test_32x32.mat` of `data_dir`, or download them.

    The label 10 of the digit 0 becomes 0. What `extra_32x32.mat` has is not used.

    Source: Netzer et al. 2011, Reading digits in natural images with unsupervised feature learning.
    """
    train, test = (_read(data_dir / name) for name in MD5)
    return Dataset(train=train.first(train_size), test=test.first(test_size))


def _read(path: Path) -> Images:
    from scipy.io import loadmat

    if not path.is_file():
        missing = f"SVHN is not in data_dir = {path.parent} ({', '.join(MD5)})"
        download(URL + path.name, path, md5=MD5[path.name], missing=missing)
    check_sum(path, MD5[path.name])
    try:
        arrays = loadmat(path)
        return Images(
            images=np.ascontiguousarray(arrays["X"].transpose(3, 2, 0, 1)),
            labels=arrays["y"].reshape(-1).astype(np.int64) % 10,
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): {REMEDY}") from error
