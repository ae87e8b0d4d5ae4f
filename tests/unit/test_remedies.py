"""What a message says to do about a user's own data and networks helps."""

import re
from pathlib import Path

import numpy as np
import pytest
from epsigma.attacks.shares import count_features
from epsigma.datasets.file import file
from epsigma.datasets.folder import folder
from epsigma.models.classifier import ModelError
from epsigma.models.mlp import MLP
from epsigma.stages import train
from PIL import Image

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 5), dtype=np.uint8)
LABELS = np.arange(12) % 3


def own(images=IMAGES, labels=LABELS, **settings):
    """Arguments of a file of these as training and as test images."""
    parts = {f"{part}_images": images for part in ("train", "test")}
    return parts | {f"{part}_labels": labels for part in ("train", "test")}, settings


SIGNED = (IMAGES / 127.5 - 1).astype(np.float32)
HOLED = np.where(np.arange(12)[:, None, None] == 3, np.nan, IMAGES / 255).astype(np.float32)
WHOLE = np.arange(12) != 3
# What is wrong, what the message says to do, and that done.
OF_FILES = {
    "of another range": (own(SIGNED), "undo what was done", own((SIGNED + 1) / 2)),
    "of another range, as levels": (own(SIGNED), "or save 0 ... 255 as uint8", own(IMAGES)),
    "of another type": (own(IMAGES.astype(np.int32)), "save them as uint8", own(IMAGES)),
    "not finite": (own(HOLED), "not finite: remove them", own(HOLED[WHOLE], LABELS[WHOLE])),
    "labels below 0": (own(labels=LABELS - 1), "they count from 0 (first_label)", own()),
    "labels from 1": (own(labels=LABELS + 1), "first_label", own(labels=LABELS + 1, first_label=1)),
    "classes that are known": (own(classes=3), "leave it out", own()),
    "a test set that is there": (own(test_fraction=0.5), "leave test_fraction out", own()),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "remedy", "right"), OF_FILES.values(), ids=OF_FILES)
def test_a_file_is_read_once_that_is_done(tmp_path, wrong, remedy, right):
    for content, settings in (wrong, right):
        np.savez(tmp_path / "own.npz", **content)
        if settings is wrong[1] and content is wrong[0]:
            with pytest.raises(ValueError, match=re.escape(remedy)):
                file(tmp_path, path="own.npz", **settings)
        else:
            assert file(tmp_path, path="own.npz", **settings).classes == 3


def write_pictures(root: Path, count: int, side: int) -> None:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            Image.new("RGB", (6, side if index else 6)).save(root / name / f"{index}.png")


@pytest.mark.parametrize(
    ("made", "remedy", "done", "settings"),
    [
        ((4, 7), "say with size", (4, 7), {"size": 6}),
        ((1, 6), "a split needs two of each", (2, 6), {}),
    ],
)
def test_a_folder_is_read_once_that_is_done(tmp_path, made, remedy, done, settings):
    write_pictures(tmp_path / "own", *made)
    with pytest.raises(ValueError, match=remedy):
        folder(tmp_path, path="own", test_fraction=0.5)
    write_pictures(tmp_path / "own", *done)
    read = folder(tmp_path, path="own", test_fraction=0.5, **settings)
    assert read.test.images.shape[1:] == (3, 6, 6)


def test_a_network_without_weights_to_train_is_one_once_some_are_unfrozen(monkeypatch):
    import torch

    networks = [MLP((1, 6, 5), 3, hidden=4).requires_grad_(False) for _ in range(2)]
    next(networks[1].parameters()).requires_grad_(True)
    monkeypatch.setattr(train, "build_model", lambda **settings: networks.pop(0))
    images = torch.rand(4, 1, 6, 5)
    with pytest.raises(ModelError, match="unfreeze some, or name a `checkpoint`"):
        train._build_classifier({}, images, 3, None, None)
    model, _ = train._build_classifier({}, images, 3, None, None)
    assert model.training


def test_a_share_that_is_named_as_enough_is():
    with pytest.raises(ValueError, match="make it 2/96 or more"):
        count_features(0.01, 96, at_once=2)
    assert count_features(2 / 96, 96, at_once=2) == 2
