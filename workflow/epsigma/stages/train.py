"""Stage train: train classifiers and autoencoders with PyTorch Lightning."""

import logging
import math
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from epsigma.device import resolve
from epsigma.job import Job
from epsigma.loading import load
from epsigma.models.classifier import TRIED, ModelError, build_model, check_outputs, load_classifier
from epsigma.models.weights import fit_weights, read_weights
from epsigma.storage.files import atomic_write, write_json
from epsigma.storage.images import ImageSet, read_classes, read_clean
from epsigma.training.objective import Objective
from epsigma.training.standard import Standard
from epsigma.training.validation import permutation

VALIDATION_BATCH = 1000
# Share of the steps in which the learning rate of a cycle rises.
RISE = 0.4
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
        """Ask the model about images (N, C, H, W) in [0, 1]."""
        answer: Tensor = self.model(images)
        return answer

    def configure_optimizers(self) -> Any:
        """Use Adam, with a schedule if it was asked for."""
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

    def keep_scores(self, weights: str) -> None:
        """Add the only row of a model that is not trained, from what validating it has counted."""
        loss, correct, n = self._sums["validation"].tolist()
        self.curve.append({"epoch": 0, "train_loss": loss / n, "train_accuracy": correct / n})
        self.log_file.info(
            "weights of %s: loss %.4f, accuracy %.4f on the %d training images",
            *(weights, loss / n, correct / n, n),
        )

    def _count(self, part: str, loss: Tensor, logits: Tensor | None, labels: Tensor) -> None:
        n = len(labels)
        correct = math.nan if logits is None else (logits.argmax(1) == labels).sum().item()
        self._sums[part] += torch.tensor([loss.item() * n, correct, n], dtype=torch.float64)


def train(
    job: Job,
    *,
    images: str,
    checkpoint: str,
    curve: str,
    spent: str,
    weights: str | None = None,
    teacher: str | None = None,
) -> None:
    """Train a classifier, or take its weights from a file and score them.

    The same seed and machine give the same checkpoint and curve. Sets global seeds and torch's
    deterministic algorithms: it wants a process of its own.

    Args:
        job: its settings are the `model` (`implementation` and `parameters`), the `seed` and, to
            train, `training` (`epochs`, `batch_size`, `learning_rate`, `validation`, the `schedule`
            and the `objective`, `implementation` and `parameters`, unless they are constant and
            the plain cross-entropy), and whether what is trained `teaches`.
        images: of the training set; a random part is held out for validation.
        checkpoint: Lightning checkpoint to write; `hyper_parameters` say what it is.
        curve: CSV to write: `epoch`, `train_loss`, `train_accuracy` (means over the epoch, while
            the weights move, of what the objective looks at: attacked images, if it attacks them),
            `validation_loss` (the plain cross-entropy), `validation_accuracy`. Of weights from a
            file, a row of epoch 0, over all training images; nothing is validated.
        spent: JSON to write: `seconds`, the time that training took of the processor, and
            `parameters`, how many the model has. Of weights from a file `seconds` is null.
        weights: the user's own, as `epsigma.models.weights.read_weights` takes them; None to train.
        teacher: checkpoint of the same model, that an objective learns from; None if it has none.

    Raises:
        ModelError: if the model or its weights cannot be used.
        ValueError: if nothing is left to train or to validate on.
    """
    with job.logged() as log, _quiet():
        device = _seeded(job)
        data = read_clean(images, device)
        classes = read_classes(images)
        how = job.settings["model"]
        try:
            model = _start(how, data.images, classes, weights)
        except ModelError as error:
            raise ModelError(f"model {job.cell.get('model')}: {error}") from error
        training = job.settings["training"] if weights is None else None
        taught = load_classifier(teacher, how, device) if teacher else None
        objective = _objective(job.settings, taught) if training else Standard()
        about = {"shape": list(data.images.shape[1:]), "classes": classes, **job.metadata}
        module, trainer = _prepared(model, objective, about, training, device, log)
        seconds = None
        if training:
            seconds = _fit(trainer, module, data, training, job.settings["seed"])
        else:
            everything = _loader(Batches(data.images, data.labels), VALIDATION_BATCH)
            trainer.validate(module, everything, verbose=False)
            module.keep_scores(str(weights))
        _write(trainer, module, seconds, checkpoint=checkpoint, curve=curve, spent=spent)


def train_autoencoder(job: Job, *, images: str, checkpoint: str, curve: str, spent: str) -> None:
    """Train an autoencoder on clean images; what holds of `train` holds of it.

    Args:
        job: its settings are the `model` (`implementation` and `parameters`), the `seed` and
            `training` (`epochs`, `batch_size`, `learning_rate`, `validation`, `objective`).
        images: of the training set; a random part is held out for validation.
        checkpoint: Lightning checkpoint to write.
        curve: CSV to write: `epoch`, `train_loss` (with the objective's noise), `validation_loss`
            (without).
        spent: JSON to write, as in `train`.

    Raises:
        ModelError: if it does not return images of the shape that it is given.
    """
    with job.logged() as log, _quiet():
        device = _seeded(job)
        data = read_clean(images, device)
        how, training = job.settings["model"], job.settings["training"]
        shape = tuple(data.images.shape[1:])
        model: nn.Module = load(how["implementation"])(shape, **how["parameters"])
        # Convolutions of few channels take a third to a half of the time so.
        model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        given = data.images[:TRIED]
        with torch.no_grad():
            returned = tuple(model(given).shape)
        if returned != tuple(given.shape):
            raise ModelError(
                f"autoencoder {job.cell.get('autoencoder')}: of images {tuple(given.shape)} it "
                f"made {returned}; it has to return their shape"
            )
        about = {"shape": list(shape), **job.metadata}
        module, trainer = _prepared(model, _objective(job.settings), about, training, device, log)
        seconds = _fit(trainer, module, data, training, job.settings["seed"])
        _write(trainer, module, seconds, checkpoint=checkpoint, curve=curve, spent=spent)


def _seeded(job: Job) -> torch.device:
    """Seed everything, and find the device."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS, deterministic
    pl.seed_everything(job.settings["seed"], verbose=False)
    return resolve(job.device)


def _objective(settings: dict[str, Any], teacher: nn.Module | None = None) -> Objective:
    """Make what is minimised: by a teacher, what its student will learn from."""
    how = settings["training"].get("objective")
    if how is None:
        return Standard()
    kind: Any = load(how["implementation"])
    make = kind.of_teacher if settings.get("teaches") else kind
    made: Objective = make(**how["parameters"], **({"teacher": teacher} if teacher else {}))
    return made


def _prepared(
    model: nn.Module,
    objective: Objective,
    about: dict[str, Any],
    training: dict[str, Any] | None,
    device: torch.device,
    log: logging.Logger,
) -> tuple[Training, pl.Trainer]:
    """Make what trains a model as `training` says; without it, what only scores one."""
    how = training or {"learning_rate": 0.0, "epochs": 0}
    module = Training(
        model,
        objective,
        about,
        learning_rate=how["learning_rate"],
        schedule=how.get("schedule", "constant"),
        log=log,
    )
    trainer = pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=how["epochs"],
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    return module, trainer


def _fit(
    trainer: pl.Trainer, module: Training, data: ImageSet, training: dict[str, Any], seed: int
) -> float:
    """Train, and return what it took of the processor, in seconds."""
    learn, held_out = split_validation(data, fraction=training["validation"], seed=seed)
    order = torch.Generator().manual_seed(seed)
    started = time.process_time()
    trainer.fit(
        module,
        _loader(learn, training["batch_size"], order),
        _loader(held_out, VALIDATION_BATCH),
    )
    return time.process_time() - started


def _write(
    trainer: pl.Trainer,
    module: Training,
    seconds: float | None,
    *,
    checkpoint: str,
    curve: str,
    spent: str,
) -> None:
    """Write what training has made."""
    with atomic_write(checkpoint) as temporary:
        trainer.save_checkpoint(temporary, weights_only=True)
    table = pd.DataFrame(module.curve, columns=CURVE)
    if table["train_accuracy"].isna().all():  # there are no classes
        table = table.drop(columns=["train_accuracy", "validation_accuracy"])
    with atomic_write(curve) as temporary:
        table.to_csv(temporary, index=False)
    parameters = sum(one.numel() for one in module.model.parameters())
    write_json(spent, {"seconds": seconds, "parameters": parameters})


def _start(
    settings: dict[str, Any], images: Tensor, classes: int, weights: str | None
) -> nn.Module:
    """Make a model of its first weights, those of the file if there is one, and try it."""
    channels, height, width = images.shape[1:]
    model = build_model(shape=(channels, height, width), classes=classes, **settings)
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
    order = permutation(n, seed)
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
