"""Validation images that a data set brings: read, written, learnt from by nobody."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from epsigma.datasets.file import file
from epsigma.datasets.folder import folder
from epsigma.datasets.images import Dataset, Images
from epsigma.datasets.parquet import parquet
from epsigma.device import CPU
from epsigma.job import Job
from epsigma.stages.calibrate import calibrate
from epsigma.stages.dataset import dataset as write_dataset
from epsigma.storage.files import read_json
from epsigma.storage.images import ImageSet, read_clean, read_training, read_validation
from epsigma.training.lightning import split_validation
from PIL import Image

SIZES = {"train": 12, "val": 5, "test": 6}


def make(part):
    """Random images (N, 1, H, W) and labels of three classes; every set has others."""
    n = SIZES[part]
    random = np.random.default_rng(n)
    return random.integers(0, 256, (n, 1, 6, 5), dtype=np.uint8), np.arange(n) % 3


def read_archive(root, names, parts):
    arrays = {}
    for part in parts:
        pair = (f"x_{part}", f"y_{part}") if names == "Keras'" else [f"{part}_{x}" for x in HELD]
        arrays |= dict(zip(pair, make(part), strict=True))
    np.savez(root / "own.npz", **arrays)
    return file(root, path="own.npz")


def encode(image, path):
    Image.fromarray(image[0]).save(path)
    return path.read_bytes()


def read_parquet(root, name, parts):
    for part in parts:
        images, labels = make(part)
        cells = [encode(image, root / "one.png") for image in images]
        path = root / "own" / (name if part == "val" else f"{part}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": pa.array(cells), "label": pa.array(labels)}), path)
    return parquet(root, path="own", channels=1)


def read_folder(root, name, parts):
    for part in parts:
        for at, (image, label) in enumerate(zip(*make(part), strict=True)):
            inside = root / "own" / (name if part == "val" else part) / "abc"[label]
            inside.mkdir(parents=True, exist_ok=True)
            encode(image, inside / f"{at:02}.png")
    return folder(root, path="own", channels=1)


HELD = ("images", "labels")
BROUGHT = [
    (read_archive, "MedMNIST's"),
    (read_archive, "Keras'"),
    *((read_parquet, f"{name}.parquet") for name in ("validation-0-of-1", "val", "valid_0")),
    *((read_parquet, f"{name}/0000.parquet") for name in ("validation", "valid", "val")),
    *((read_folder, name) for name in ("val", "valid", "validation")),
]


def hashes(images):
    return sorted(image.tobytes() for image in images)


@pytest.mark.parametrize(("read", "name"), BROUGHT)
def test_a_data_set_brings_its_own_validation_images(tmp_path, read, name):
    data = read(tmp_path, name, SIZES)
    for part, found in zip(SIZES, (data.train, data.validation, data.test), strict=True):
        images, labels = make(part)
        assert hashes(found.images) == hashes(images)
        assert sorted(found.labels) == sorted(labels)


@pytest.mark.parametrize(("read", "name"), BROUGHT[::4])
def test_a_data_set_that_brings_none_has_none(tmp_path, read, name):
    assert read(tmp_path, name, ("train", "test")).validation is None


def test_a_validation_folder_of_no_class_is_left_alone(tmp_path):
    (tmp_path / "own" / "val").mkdir(parents=True)
    encode(make("val")[0][0], tmp_path / "own" / "val" / "1.png")
    assert read_folder(tmp_path, "val", ("train", "test")).validation is None


@pytest.mark.parametrize("held", [{"val_images": make("val")[0]}, {"val_labels": np.arange(5) % 3}])
def test_images_without_labels_and_labels_without_images_validate_nothing(tmp_path, held):
    arrays = dict(zip(("images", "labels"), make("train"), strict=True))
    np.savez(tmp_path / "own.npz", **arrays, **held)
    assert file(tmp_path, path="own.npz", test_fraction=0.5).validation is None


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (np.zeros((2, 1, 6, 4), np.uint8), [0, 1], r"validation images are \(1, 6, 4\), test"),
        (np.zeros((2, 1, 6, 5), np.uint8), [0, 3], "validation label 3, and with 3 classes"),
        (np.zeros((2, 1, 6, 5), np.uint8), [0], r"val_labels have the shape \(1,\)"),
        (np.full((2, 1, 6, 5), 2.0), [0, 1], "val_images go from 0 to 2: floats are in"),
    ],
)
def test_validation_images_of_another_make_are_refused(tmp_path, images, labels, said):
    arrays = dict(zip(("images", "labels"), make("train"), strict=True))
    arrays |= {"val_images": images, "val_labels": np.array(labels)}
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(ValueError, match=said) as raised:
        file(tmp_path, path="own.npz", test_fraction=0.5)
    assert "own.npz" in str(raised.value)


def written(root, made):
    """Write a data set by the stage; return the path of its training images."""
    paths = {part: str(root / f"{part}.safetensors") for part in ("train", "test")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("epsigma.stages.dataset.load", lambda name: lambda data_dir: made)
        settings = {"implementation": "made_here:make", "parameters": {}}
        job = Job({}, settings, "0" * 16, "cpu", str(root / "job.log"))
        write_dataset(job, data_dir=str(root), **paths)
    return paths["train"]


@pytest.mark.parametrize("has_training", [True, False])
@pytest.mark.parametrize("has_validation", [True, False])
def test_validation_images_lie_beside_the_training_images(tmp_path, has_training, has_validation):
    train, validation, test = (Images(*make(part)) for part in SIZES)
    path = written(
        tmp_path,
        Dataset(
            train if has_training else None,
            test,
            validation=validation if has_validation else None,
        ),
    )
    assert len(read_clean(path, CPU).labels) == (12 if has_training else 0)
    found = read_validation(path, CPU)
    assert (found is not None) == has_validation
    if found is not None:
        assert np.array_equal(np.rint(found.images.numpy() * 255), validation.images)
        assert found.labels.tolist() == validation.labels.tolist()


def numbered(n):
    """`n` images, each of its own number."""
    return ImageSet(torch.arange(n).float().reshape(n, 1, 1, 1), torch.arange(n))


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_a_set_that_brings_its_own_is_learnt_from_whole(fraction):
    learn, validate = split_validation(numbered(10), numbered(3), fraction=fraction, seed=1)
    assert (learn.labels.tolist(), validate.labels.tolist()) == (list(range(10)), [0, 1, 2])


@pytest.mark.parametrize("has_training", [True, False])
def test_thresholds_are_of_the_validation_images_that_a_set_brings(
    tmp_path, trained, checkpoint, has_training
):
    """Also if it has no training images, as where all weights are the user's own."""
    images, labels = (trained.images * 255).round().byte().numpy(), trained.labels.numpy()
    parts = [Images(images[rows], labels[rows]) for rows in (slice(200), slice(200, 360))]
    path = written(tmp_path, Dataset(parts[0] if has_training else None, parts[1]))
    if not has_training:
        with pytest.raises(ValueError, match="validation images will do for the latter"):
            read_training(path, CPU)
    path = written(
        tmp_path,
        Dataset(parts[0] if has_training else None, parts[1], validation=parts[1]),
    )
    bits = {
        "implementation": "epsigma.filters.bitdepth:BitDepth",
        "parameters": {"bits": 1},
        "gradient": "bpda",
    }
    squeezing = {
        "implementation": "epsigma.detectors.squeezing:Squeezing",
        "parameters": {"filters": [bits]},
    }
    found = {}
    for fraction in (0.1, 0.5):
        settings = {"model": trained.settings, "detector": squeezing, "rate": 0.05}
        settings |= {"validation": fraction, "seed": 3}
        job = Job({}, settings, "0" * 16, "cpu", str(tmp_path / "job.log"))
        threshold = Path(tmp_path / "threshold.json")
        calibrate(job, images=path, checkpoint=str(checkpoint), threshold=str(threshold))
        found[fraction] = read_json(threshold)
    assert found[0.1] == found[0.5]
    assert found[0.1]["n"] == 160
