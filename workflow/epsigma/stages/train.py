"""Stage train: train a classifier with PyTorch Lightning."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from epsigma.classifier import ModelError, build, check_outputs
from epsigma.device import resolve
from epsigma.files import whole
from epsigma.stages.job import Job
from epsigma.tensors import ImageSet, read_classes, read_clean
from epsigma.weights import fit_weights, read_weights

VALIDATION_BATCH = 1000
CURVE = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]


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


class Classifier(pl.LightningModule):
    """A model in training: Adam on the cross-entropy, loss and accuracy of each epoch kept.

    Args:
        model: from images to logits; its method `constrain`, if it has one, is called after each
            step.
        about: plain values for the checkpoint's `hyper_parameters`.
        learning_rate: of Adam.
        log: gets a line an epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        about: dict[str, Any],
        *,
        learning_rate: float,
        log: logging.Logger,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(about)
        self.model = model
        self.learning_rate = learning_rate
        self.log_file = log
        self.curve: list[dict[str, float]] = []
        self._sums = {part: torch.zeros(3, dtype=torch.float64) for part in ("train", "validation")}

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.model(images)
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Use Adam."""
        return torch.optim.Adam(self.model.parameters(), lr=self.learning_rate, fused=True)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the mean cross-entropy of a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Count a validation batch."""
        self._step(batch, "validation")

    def on_train_batch_end(self, *_: Any) -> None:
        """Put the weights back where the model wants them."""
        if callable(constrain := getattr(self.model, "constrain", None)):
            constrain()

    def on_train_epoch_end(self) -> None:
        """Add a row to the curve; runs after the epoch's validation."""
        row: dict[str, float] = {"epoch": self.current_epoch + 1}
        for part, sums in self._sums.items():
            loss, correct, n = sums.tolist()
            row |= {f"{part}_loss": loss / n, f"{part}_accuracy": correct / n}
            sums.zero_()
        self.curve.append(row)
        self.log_file.info(
            "epoch %d of %d: %s",
            row["epoch"],
            self.trainer.max_epochs,
            ", ".join(f"{name} {value:.4f}" for name, value in row.items() if name != "epoch"),
        )

    def keep_scores(self, weights: str) -> None:
        """Add the only row of a model that is not trained, from what validating it has counted."""
        loss, correct, n = self._sums["validation"].tolist()
        self.curve.append({"epoch": 0, "train_loss": loss / n, "train_accuracy": correct / n})
        self.log_file.info(
            "weights of %s: loss %.4f, accuracy %.4f on the %d training images",
            *(weights, loss / n, correct / n, n),
        )

    def _step(self, batch: tuple[Tensor, Tensor], part: str) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, labels)
        correct = (logits.argmax(1) == labels).sum()
        n = len(labels)
        self._sums[part] += torch.tensor([loss.item() * n, correct.item(), n], dtype=torch.float64)
        return loss


def train(
    job: Job, *, images: str, checkpoint: str, curve: str, weights: str | None = None
) -> None:
    """Train a classifier, or take its weights from a file and score them.

    The same seed and machine give the same files. Sets global seeds and torch's deterministic
    algorithms: it wants a process of its own.

    Args:
        job: its settings are the `model` (`implementation` and `parameters`), the `seed` and, to
            train, `training` (`epochs`, `batch_size`, `learning_rate`, `validation`).
        images: of the training set; a random part is held out for validation.
        checkpoint: Lightning checkpoint to write; `hyper_parameters` say what it is.
        curve: CSV to write: `epoch`, `train_loss`, `train_accuracy` (means over the epoch, while
            the weights move), `validation_loss`, `validation_accuracy`. Of weights from a file, a
            row of epoch 0, over all training images; nothing is validated.
        weights: the user's own, as `epsigma.weights.read_weights` takes them; None to train.

    Raises:
        ModelError: if the model or its weights cannot be used.
        ValueError: if nothing is left to train or to validate on.
    """
    with job.logged() as log, _quiet():
        seed = job.settings["seed"]
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS, deterministic
        pl.seed_everything(seed, verbose=False)
        device = resolve(job.device)
        data = read_clean(images, device)
        classes = read_classes(images)
        try:
            model = _start(job.settings["model"], data.images, classes, weights)
        except ModelError as error:
            raise ModelError(f"model {job.cell.get('model')}: {error}") from error
        training = job.settings.get("training", {})
        about = {"shape": list(data.images.shape[1:]), "classes": classes, **job.metadata}
        rate = training.get("learning_rate", 0.0)
        module = Classifier(model, about, learning_rate=rate, log=log)
        trainer = pl.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=1,
            max_epochs=training.get("epochs", 0),
            deterministic=True,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        if weights is None:
            learn, held_out = split_validation(data, fraction=training["validation"], seed=seed)
            order = torch.Generator().manual_seed(seed)
            trainer.fit(
                module,
                _loader(learn, training["batch_size"], order),
                _loader(held_out, VALIDATION_BATCH),
            )
        else:
            everything = _loader(Batches(data.images, data.labels), VALIDATION_BATCH)
            trainer.validate(module, everything, verbose=False)
            module.keep_scores(weights)
        with whole(checkpoint) as temporary:
            trainer.save_checkpoint(temporary, weights_only=True)
        with whole(curve) as temporary:
            pd.DataFrame(module.curve, columns=CURVE).to_csv(temporary, index=False)


def _start(
    settings: dict[str, Any], images: Tensor, classes: int, weights: str | None
) -> nn.Module:
    """Make a model of its first weights, those of the file if there is one, and try it."""
    channels, height, width = images.shape[1:]
    model = build(shape=(channels, height, width), classes=classes, **settings)
    model.to(images.device)
    check_outputs(model, images, classes)
    if weights is None:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ModelError(
                "it has no weights to train: none of its parameters requires a gradient; unfreeze "
                "some, or name a `checkpoint` to use it as it is there"
            )
        if not model.training:  # as a factory may return it; no part of it alone is touched
            model.train()
    else:
        fit_weights(model, read_weights(weights), weights)
        check_outputs(model, images, classes)
    return model


def split_validation(data: ImageSet, *, fraction: float, seed: int) -> tuple[Batches, Batches]:
    """Hold out a random part of the images.

    Returns:
        What to train on, and what to validate on: `fraction` of the images, rounded.

    Raises:
        ValueError: if one of them is empty.
    """
    n = len(data.labels)
    size = round(n * fraction)
    if not 0 < size < n:
        raise ValueError(
            f"validation: {fraction} of {n} images leaves {n - size} to train on and {size} to "
            "validate on"
        )
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held_out, learn = order[:size], order[size:]
    return (
        Batches(data.images[learn], data.labels[learn]),
        Batches(data.images[held_out], data.labels[held_out]),
    )


def _loader(
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice about loaders and devices to itself."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        yield
