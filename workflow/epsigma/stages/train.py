"""Stage train: train classifiers and autoencoders with PyTorch Lightning."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from epsigma.device import resolve
from epsigma.job import Job
from epsigma.loading import load
from epsigma.models.classifier import ModelError, build_model, load_classifier
from epsigma.models.trial import TRIED, try_model
from epsigma.models.weights import fit_own_weights
from epsigma.storage.files import atomic_write, write_json
from epsigma.storage.images import read_classes, read_training, read_validation
from epsigma.storage.stored import open_clean
from epsigma.training.lightning import (
    Training,
    fit,
    make_trainer,
    silence_lightning,
    split_validation,
)
from epsigma.training.objective import Objective
from epsigma.training.standard import Standard

# Found by its name: an edited filter retrains only what is trained through filters.
MAKE_PARTS = "epsigma.filters.build:with_parts"
CURVE = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]


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
    """Train a classifier, or take its weights from a file.

    The same seed and machine give the same checkpoint and curve. Sets global seeds and torch's
    deterministic algorithms: it wants a process of its own.

    Args:
        job: its settings are the `model` (`implementation` and `parameters`, and perhaps
            `preprocess` and `normalize`), the `seed` and, to train, `training` (`epochs`,
            `batch_size`, `learning_rate`, `validation`, perhaps `schedule` and `objective`), and
            whether what is trained `teaches`.
        images: of the training set; a random part is held out for validation, unless the data set
            brings images for that. With `weights` some of the data set, on which the model is
            tried.
        checkpoint: Lightning checkpoint to write; `hyper_parameters` say what it is.
        curve: CSV to write: `epoch`, `train_loss`, `train_accuracy` (means over the epoch, while
            the weights move, of the objective's images), `validation_loss` (the cross-entropy),
            `validation_accuracy`. Without a row if the weights come from a file.
        spent: JSON to write: `trained`, whether it was trained here; `seconds`, the time that this
            took of the processor, null if it was not; and `parameters`, how many the model has.
        weights: the user's own, as `epsigma.models.weights.read_weights` takes them; None to train.
        teacher: checkpoint of the same model, that an objective learns from; None if it has none.

    Raises:
        ModelError: if the model or its weights cannot be used.
        ValueError: if nothing is left to train or to validate on.
    """
    with job.logged() as log, silence_lightning():
        device = _seed_everything(job)
        data = read_training(images, device) if weights is None else None
        given = data.images if data else open_clean(images, device).images[:TRIED]
        classes = read_classes(images)
        how = job.settings["model"]
        try:
            model, needs = _build_classifier(
                how, given, classes, weights, job.settings.get("checkpoint_key")
            )
        except ModelError as error:
            raise ModelError(f"model {job.cell.get('model')}: {error}") from error
        shape = list(given.shape[1:])
        about = {"shape": shape, "classes": classes, "needs": needs, **job.metadata}
        seconds = None
        if data is not None:
            training = job.settings["training"]
            taught = load_classifier(teacher, how, device) if teacher else None
            objective = _build_objective(job.settings, device, taught)
            module = _build_module(model, objective, about, training, log)
            trainer = make_trainer(training["epochs"], device)
            own = read_validation(images, device)
            seconds = fit(trainer, module, data, own, training, job.settings["seed"])
        else:
            module = _build_module(model, Standard(), about, {"learning_rate": 0.0}, log)
            trainer = make_trainer(0, device)
            trainer.strategy.connect(module)  # so it can be saved
            log.info("not trained: the weights are those of %s", weights)
        _write(trainer, module, seconds, checkpoint=checkpoint, curve=curve, spent=spent)


def train_autoencoder(job: Job, *, images: str, checkpoint: str, curve: str, spent: str) -> None:
    """Train an autoencoder on clean images, or fit it to them if it can; else as `train`.

    Args:
        job: its settings are the `model`, the `seed` and `training`, as in `train`.
        images: of the training set, as in `train`.
        checkpoint: Lightning checkpoint to write.
        curve: CSV to write: `epoch`, `train_loss` (with the objective's noise), `validation_loss`.
        spent: JSON to write, as in `train`.

    Raises:
        ModelError: if it does not return images of the shape that it is given.
    """
    with job.logged() as log, silence_lightning():
        device = _seed_everything(job)
        data = read_training(images, device)
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
        module = _build_module(model, _build_objective(job.settings, device), about, training, log)
        own, seed = read_validation(images, device), job.settings["seed"]
        fit_at_once: Callable[[Tensor], None] | None = getattr(model, "fit", None)
        if fit_at_once:
            trainer = make_trainer(0, device)
            trainer.strategy.connect(module)  # so it can be saved
            learn, _ = split_validation(data, own, fraction=training["validation"], seed=seed)
            started = time.process_time()
            fit_at_once(learn.images)
            seconds = time.process_time() - started
        else:
            trainer = make_trainer(training["epochs"], device)
            seconds = fit(trainer, module, data, own, training, seed)
        _write(trainer, module, seconds, checkpoint=checkpoint, curve=curve, spent=spent)


def _seed_everything(job: Job) -> torch.device:
    """Seed everything, and find the device."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS, deterministic
    pl.seed_everything(job.settings["seed"], verbose=False)
    return resolve(job.device)


def _build_objective(
    settings: dict[str, Any], device: torch.device, teacher: nn.Module | None = None
) -> Objective:
    """Make what is minimised: by a teacher, what its student will learn from."""
    how = settings["training"].get("objective")
    if how is None:
        return Standard()
    kind: Any = load(how["implementation"])
    make = kind.of_teacher if settings.get("teaches") else kind
    parameters = how["parameters"]
    if any(isinstance(value, list) for value in parameters.values()):
        generator = torch.Generator(device).manual_seed(settings["seed"])
        parameters = load(MAKE_PARTS)(parameters, device, generator)
    made: Objective = make(**parameters, **({"teacher": teacher} if teacher else {}))
    return made


def _build_module(
    model: nn.Module,
    objective: Objective,
    about: dict[str, Any],
    training: dict[str, Any],
    log: logging.Logger,
) -> Training:
    rate, schedule = training["learning_rate"], training.get("schedule", "constant")
    return Training(model, objective, about, learning_rate=rate, schedule=schedule, log=log)


def _build_classifier(
    settings: dict[str, Any], images: Tensor, classes: int, weights: str | None, key: str | None
) -> tuple[nn.Module, list[str]]:
    """Make a model of its first weights, those of the file if there is one, and try it."""
    channels, height, width = images.shape[1:]
    model = build_model(shape=(channels, height, width), classes=classes, **settings)
    model.to(images.device)
    if weights is not None:
        fit_own_weights(model, weights, key)
        return model, try_model(model, images, classes, trains=False)
    needs = try_model(model, images, classes, trains=True)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(
            "it has no weights to train: none of its parameters requires a gradient; unfreeze "
            "some, or name a `checkpoint` to use it as it is there"
        )
    if not model.training:  # as a factory may return it; no part of it alone is touched
        model.train()
    return model, needs


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
    if len(table) and table["train_accuracy"].isna().all():  # there are no classes
        table = table.drop(columns=["train_accuracy", "validation_accuracy"])
    with atomic_write(curve) as temporary:
        table.to_csv(temporary, index=False)
    parameters = sum(one.numel() for one in module.model.parameters())
    trained = seconds is not None
    write_json(spent, {"trained": trained, "seconds": seconds, "parameters": parameters})
