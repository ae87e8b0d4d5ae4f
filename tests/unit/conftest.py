"""What the unit tests share. Heavy libraries are imported by the fixtures that need them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from epsigma.job import Job
    from torch import Tensor, nn

# As the workflow does: one core a job, results that do not depend on how many there are.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

# The same examples each time, and no deadline: the machine may be busy.
settings.register_profile("epsigma", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("epsigma")


@dataclass(frozen=True)
class Trained:
    """A model that has learnt scikit-learn's digits, its settings, and the test images."""

    model: nn.Module
    settings: dict[str, Any]
    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Trap:
    """What makes a folder when it is unpickled."""

    path: Path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    """Something to pickle; whoever unpickles it makes the folder `executed`."""
    return Trap(tmp_path / "executed")


@pytest.fixture(scope="session")
def trained() -> Trained:
    import torch
    from epsigma.datasets.digits import digits
    from epsigma.models.mlp import MLP
    from torch.nn import functional

    def tensors(part):
        return torch.from_numpy(part.images).float() / 255, torch.from_numpy(part.labels)

    data = digits(None)
    (images, labels), (test_images, test_labels) = tensors(data.train), tensors(data.test)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MLP((1, 8, 8), 10, hidden=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = None
    settings = {"implementation": "epsigma.models.mlp:MLP", "parameters": {"hidden": 32}}
    return Trained(model, settings, test_images, test_labels)


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """Make a job from its settings and, by keyword, its wildcards."""
    from epsigma.job import Job

    def make(settings: dict[str, Any], **cell: str) -> Job:
        return Job(cell, settings, "0" * 16, "cpu", str(tmp_path / "logs" / "job.log"))

    return make


@pytest.fixture
def clean_file(tmp_path: Path, trained: Trained) -> Path:
    """The test images as the stage dataset writes them."""
    from epsigma.storage.images import write_tensors

    path = tmp_path / "test.safetensors"
    images = (trained.images * 255).round().byte()
    write_tensors(path, {"images": images, "labels": trained.labels}, {"classes": "10"})
    return path


@pytest.fixture
def checkpoint(tmp_path: Path, trained: Trained) -> Path:
    """The trained model in a checkpoint with what Lightning's and ours have in common."""
    import torch

    path = tmp_path / "checkpoint.ckpt"
    weights = {f"model.{name}": value for name, value in trained.model.state_dict().items()}
    about = {"shape": [1, 8, 8], "classes": 10}
    torch.save({"state_dict": weights, "hyper_parameters": about}, path)
    return path
