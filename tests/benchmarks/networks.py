"""What the benchmarks attack: MNIST, and networks of the workflow trained on it."""

import sys
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))

from epsigma.datasets.mnist import mnist
from epsigma.models.cnn import CNN
from epsigma.models.mlp import MLP

NETWORKS = {
    # That of config/paper.yaml.
    "784-48-10": lambda: MLP((1, 28, 28), 10, hidden=48),
    "CNN": lambda: CNN((1, 28, 28), 10),
}


def load(folder):
    """The training and the test images of MNIST's IDX files, each with labels."""
    data = mnist(Path(folder))
    return [
        (torch.tensor(part.images).float() / 255, torch.tensor(part.labels))
        for part in (data.train, data.test)
    ]


def trained(name, images, labels, epochs=4):
    """Train a network, and freeze it as the workflow does."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(128):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model.to(memory_format=torch.channels_last).eval().requires_grad_(False)
