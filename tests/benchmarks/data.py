"""What everybody is given: MNIST as torchvision reads it, and trained networks."""

import os
import tempfile
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks import ROOT

# torchvision's names for the parts, and where it looks for them.
PARTS = {"train": "train", "test": "t10k"}
RAW = Path("MNIST") / "raw"


def source():
    """The folder of the full MNIST that EPSIGMA_MNIST names; None if mnist5k has to do."""
    folder = os.environ.get("EPSIGMA_MNIST")
    return Path(folder) if folder else None


def described():
    """Say which data is used."""
    if source():
        return "the full MNIST: 60,000 training and 10,000 test images"
    return (
        "**mnist5k**, 4,000 training and 1,000 test images, since EPSIGMA_MNIST names no folder of "
        "the full MNIST; the bars are meant for that"
    )


@lru_cache
def images():
    """The data set: uint8 images (N, 1, 28, 28) and labels, training and test."""
    from epsigma.datasets.mnist import mnist
    from epsigma.datasets.mnist5k import mnist5k

    return mnist(source()) if source() else mnist5k(ROOT)


@contextmanager
def workplace():
    """A folder to work in, with the data as unpacked IDX files where torchvision expects them."""
    with tempfile.TemporaryDirectory(prefix="epsigma-bench-") as name:
        folder = Path(name)
        (folder / RAW).mkdir(parents=True)
        for part, prefix in PARTS.items():
            given = getattr(images(), part)
            write_idx(folder / RAW / f"{prefix}-images-idx3-ubyte", given.images[:, 0])
            write_idx(folder / RAW / f"{prefix}-labels-idx1-ubyte", given.labels.astype(np.uint8))
        yield folder


def write_idx(path, array):
    """Write unsigned bytes as an IDX file."""
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes()
    path.write_bytes(header + array.tobytes())


def tensors(part):
    """The images of a part as float32 in [0, 1], and their labels."""
    import torch

    given = getattr(images(), part)
    return torch.tensor(given.images).float().div_(255), torch.tensor(given.labels)


def networks():
    """Networks to attack: what makes each, and for how many epochs it is trained."""
    from epsigma.models.cnn import CNN
    from epsigma.models.mlp import MLP

    return {
        # That of config/paper.yaml.
        "MLP 784-48-10": (lambda: MLP((1, 28, 28), 10, hidden=48), 4),
        "CNN": (lambda: CNN((1, 28, 28), 10), 2),
    }


def trained(name):
    """Train a network, and leave it as training does."""
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    make, epochs = networks()[name]
    model = make()
    given, labels = tensors("train")
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for _ in range(epochs):
        for batch in torch.randperm(len(given)).split(128):
            optimizer.zero_grad()
            functional.cross_entropy(model(given[batch]), labels[batch]).backward()
            optimizer.step()
    return model.eval()


def frozen(model):
    """A copy of a network as `epsigma.models.classifier.load_classifier` loads it."""
    import copy

    import torch

    one = copy.deepcopy(model).to(memory_format=torch.channels_last)
    return one.eval().requires_grad_(False)
