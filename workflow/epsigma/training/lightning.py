"""Training with PyTorch Lightning: the module, the batches, the trainer and the fit."""

import logging
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from epsigma.memory import LEAST_VALUES
from epsigma.storage.images import ImageSet
from epsigma.training.objective import Objective
from epsigma.training.validation import split

# Images that are validated on at a time, at most.
VALIDATION_BATCH = 1000
# Share of the steps in which the learning rate of a cycle rises.
RISE = 0.4


class Training(pl.LightningModule):
    """A model in training: Adam on an objective, loss and accuracy of each epoch kept.

    Args:
        model: what is trained; its method `constrain`, if it has one, is called after each step.
        objective: what is minimised.
        about: plain values for the checkpoint's `hyper_parameters`.
        learning_rate: of Adam; the largest, if it varies.
        schedule: `constant`, or `cycle`: up in a straight line over the first 40 % of the steps,
            and down (Smith & Topin 2017, arXiv:1708.07120).
        log: gets a line an epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        about: dict[str, Any],
        *,
        learning_rate: float,
        schedule: str,
        log: logging.Logger,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(about)
        self.model = model
        self.objective = objective
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.log_file = log
        self.curve: list[dict[str, float]] = []
        self._sums = {part: torch.zeros(3, dtype=torch.float64) for part in ("train", "validation")}

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to what the model returns."""
        output: Tensor = self.model(images)
        return output

    def configure_optimizers(self) -> Any:
        """Use Adam, and a schedule unless the rate is constant."""
        adam = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate, fused=True)
        if self.schedule == "constant":
            return adam
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            adam,
            max_lr=self.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=RISE,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the mean loss of a batch."""
        progress = self.current_epoch + index / self.trainer.num_training_batches
        images, labels = batch
        loss, logits = self.objective(self.model, images, labels, progress=progress)
        self._count("train", loss, logits, labels)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Count a validation batch."""
        images, labels = batch
        self._count("validation", *self.objective.validate(self.model, images, labels), labels)

    def on_train_batch_end(self, *_: Any) -> None:
        """Put the weights back where the model wants them."""
        if callable(constrain := getattr(self.model, "constrain", None)):
            constrain()

    def on_train_epoch_end(self) -> None:
        """Add a row to the curve; runs after the epoch's validation."""
        row: dict[str, float] = {"epoch": self.current_epoch + 1}
        for part, sums in self._sums.items():
            loss, correct, n = sums.tolist()
            row |= {f"{part}_loss": loss / n}
            if not math.isnan(correct):
                row |= {f"{part}_accuracy": correct / n}
            sums.zero_()
        self.curve.append(row)
        self.log_file.info(
            "epoch %d of %d: %s",
            row["epoch"],
            self.trainer.max_epochs,
            ", ".join(f"{name} {value:.4f}" for name, value in row.items() if name != "epoch"),
        )

    def _count(self, part: str, loss: Tensor, logits: Tensor | None, labels: Tensor) -> None:
        n = len(labels)
        correct = math.nan if logits is None else (logits.argmax(1) == labels).sum().item()
        self._sums[part] += torch.tensor([loss.item() * n, correct, n], dtype=torch.float64)


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Images and labels that are indexed a batch at a time, so that nothing is collated."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Take the images and labels at `indices`."""
        return self.images[indices], self.labels[indices]


def split_validation(
    data: ImageSet, own: ImageSet | None = None, *, fraction: float, seed: int
) -> tuple[Batches, Batches]:
    """Split into what to train on and what to validate on, `fraction` at random of the images.

    What the data set brings of its `own` to validate on is taken instead, if it does.

    Raises:
        ValueError: if one of them is empty.
    """
    if own is not None:
        return Batches(data.images, data.labels), Batches(own.images, own.labels)
    held_out, learn = split(len(data.labels), fraction=fraction, seed=seed)
    return (
        Batches(data.images[learn], data.labels[learn]),
        Batches(data.images[held_out], data.labels[held_out]),
    )


def make_loader(
    data: Batches, batch_size: int, order: torch.Generator | None = None
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Load batches: in random order if a generator is given, else in order."""
    sampler = RandomSampler(data, generator=order) if order else SequentialSampler(data)
    # Batch normalisation cannot learn from one image, which another epoch will bring elsewhere.
    single = order is not None and len(data) > batch_size and len(data) % batch_size == 1
    # The batch sampler is the sampler: the loader hands whole lists of indices to the data set.
    return DataLoader(
        data, batch_size=None, sampler=BatchSampler(sampler, batch_size, drop_last=single)
    )


def size_validation(batch_size: int, images: Tensor) -> int:
    """Say how many images (N, C, H, W) to validate on at a time.

    Of larger ones than MNIST's fewer, but as many as are learnt from at a time, which takes more
    memory.
    """
    fitting = LEAST_VALUES // math.prod(images.shape[1:])
    return min(VALIDATION_BATCH, max(batch_size, fitting))


def make_trainer(epochs: int, device: torch.device) -> pl.Trainer:
    """Make a deterministic trainer that prints nothing and writes no file."""
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1 if device.index is None else [device.index],
        max_epochs=epochs,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        # One process on one device, also in an allocation of several tasks.
        plugins=[LightningEnvironment()],
    )


def fit(
    trainer: pl.Trainer,
    module: Training,
    data: ImageSet,
    own: ImageSet | None,
    training: dict[str, Any],
    seed: int,
) -> float:
    """Train on what `split_validation` leaves, of the seed, in the seed's order.

    Returns:
        The time that it took of the processor, in seconds.
    """
    learn, held_out = split_validation(data, own, fraction=training["validation"], seed=seed)
    order = torch.Generator().manual_seed(seed)
    started = time.process_time()
    trainer.fit(
        module,
        make_loader(learn, training["batch_size"], order),
        make_loader(held_out, size_validation(training["batch_size"], held_out.images)),
    )
    return time.process_time() - started


@contextmanager
def silence_lightning() -> Iterator[None]:
    """Suppress Lightning's advice about loaders, devices and srun."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
        yield
