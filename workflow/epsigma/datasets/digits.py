"""scikit-learn's 8 x 8 digits, for quick tests."""

from pathlib import Path

import numpy as np

from epsigma.datasets.images import Dataset, Images, stratified_split


def digits(data_dir: Path, *, split_seed: int = 0) -> Dataset:
    """Read 1,797 real 8 x 8 digits, 17 grey levels stretched to 0 ... 255; split 1,437 to 360.

    Source: sklearn.datasets.load_digits (Alpaydin & Kaynak, UCI repository).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return stratified_split(
        Images(
            images=np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None],
            labels=bunch.target.astype(np.int64),
        ),
        test_size=360,
        seed=split_seed,
    )
