"""Training by the stage, in the tests' own process, which is left as it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from epsigma.device import CPU
from epsigma.job import Job
from epsigma.models.classifier import load_classifier
from epsigma.stages.dataset import dataset
from epsigma.stages.train import train, train_autoencoder
from epsigma.storage.images import ImageSet, read_clean
from torch import nn

MLP = {"implementation": "epsigma.models.mlp:MLP", "parameters": {"hidden": 32}}
HOW = {"epochs": 15, "batch_size": 32, "learning_rate": 0.005, "validation": 0.1}


@dataclass(frozen=True)
class Learnt:
    """The files of a training."""

    checkpoint: Path
    curve: Path
    spent: Path


@dataclass(frozen=True)
class School:
    """Trains on scikit-learn's digits, in a folder."""

    folder: Path

    @property
    def train_images(self) -> str:
        return str(self.folder / "train.safetensors")

    def test(self) -> ImageSet:
        return read_clean(self.folder / "test.safetensors", CPU)

    def job(self, settings: dict[str, Any], name: str, **cell: str) -> Job:
        return Job(cell, settings, "0" * 16, "cpu", str(self.folder / f"{name}.log"))

    def train(
        self,
        name: str,
        objective: dict[str, Any] | None = None,
        *,
        teacher: Path | None = None,
        teaches: bool = False,
        **how: Any,
    ) -> Learnt:
        """Train an MLP; `how` changes `HOW`."""
        training = {**HOW, **({"objective": objective} if objective else {}), **how}
        settings = {"model": MLP, "training": training, "seed": 0}
        settings |= {"teaches": True} if teaches else {}
        made = self._files(name)
        train(
            self.job(settings, name, dataset="digits", model=name),
            images=self.train_images,
            teacher=str(teacher) if teacher else None,
            **{kind: str(path) for kind, path in vars(made).items()},
        )
        return made

    def train_autoencoder(
        self, name: str, model: dict[str, Any], *, noise: float = 0.1, seed: int = 0, **how: Any
    ) -> Learnt:
        """Train an autoencoder."""
        implementation = "epsigma.training.denoising:Denoising"
        objective = {"implementation": implementation, "parameters": {"noise": noise}}
        settings = {"model": model, "training": {**HOW, "objective": objective, **how}}
        made = self._files(name)
        train_autoencoder(
            self.job({**settings, "seed": seed}, name, dataset="digits", autoencoder="ae"),
            images=self.train_images,
            **{kind: str(path) for kind, path in vars(made).items()},
        )
        return made

    def read(self, learnt: Learnt) -> nn.Module:
        return load_classifier(learnt.checkpoint, MLP, CPU)

    def _files(self, name: str) -> Learnt:
        folder = self.folder / name
        return Learnt(folder / "checkpoint.ckpt", folder / "training.csv", folder / "training.json")


@contextmanager
def school(folder: Path) -> Iterator[School]:
    """Prepare the images, and put back what training sets for its process."""
    deterministic, environment = torch.are_deterministic_algorithms_enabled(), dict(os.environ)
    made = School(folder)
    digits = {"implementation": "epsigma.datasets.digits:digits", "parameters": {}}
    files = {part: str(folder / f"{part}.safetensors") for part in ("train", "test")}
    dataset(made.job(digits, "data"), data_dir="", **files)
    with torch.random.fork_rng(devices=[]):
        yield made
    torch.use_deterministic_algorithms(deterministic)
    os.environ.clear()
    os.environ.update(environment)
