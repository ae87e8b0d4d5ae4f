"""The estimate of a run's disk is that of files as stages write them."""

import os
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import epsigma.engine
import numpy as np
import pytest
import torch
from epsigma.datasets.digits import digits
from epsigma.plan import paths
from epsigma.plan.disk import LEDGER, LEDGER_ROW, ROW, Disk
from epsigma.registry.datasets import DATASETS, SIZES
from epsigma.storage.images import ImageSet, measure, write_image_set, write_tensors
from epsigma.study import validate
from snakemake.io import temp

# Bytes of a float32.
VALUE = 4
STUDY = {
    "datasets": [{"kind": "digits"}, {"kind": "file", "name": "own", "path": "own.npz"}],
    "models": [{"kind": "mlp"}],
    "attacks": [
        {"kind": "fgsm", "eps": [0.1]},
        {"kind": "fgsm", "name": "few", "eps": [0.1], "examples": 50},
        {"kind": "jsma", "name": "all", "gamma": [0.1], "examples": 20, "targets": "all"},
        {"kind": "jsma", "name": "two", "gamma": [0.1], "examples": 20, "targets": [3, 5]},
        {"kind": "fooling", "confidence": [0.9], "images": 4},
    ],
    "filters": [{"kind": "gaussian", "sigma": [1]}],
}
CELL = {"model": "mlp", "seed": "0", "budget": "eps~0.1", "filter": "gaussian", "threat": "blind"}


@pytest.fixture
def disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Disk(validate(STUDY))


def file_of(pattern, dataset="digits", attack="fgsm"):
    wildcards = {"dataset": dataset, "attack": attack, "strength": "sigma~1", **CELL}
    return pattern.format(**wildcards), wildcards


@pytest.mark.parametrize(
    ("attack", "rows"), [("fgsm", 360), ("few", 50), ("all", 180), ("two", 40), ("fooling", 40)]
)
def test_a_set_and_a_ledger_have_a_row_for_each_image_and_target(disk, attack, rows):
    for pattern in (paths.BLIND_SET, paths.AWARE_SET, paths.FILTERED_AWARE_SET):
        assert disk.estimate([file_of(pattern, attack=attack)]) == (rows * (64 * VALUE + ROW), [])
    assert disk.estimate([file_of(paths.LEDGER, attack=attack)]) == (LEDGER + LEDGER_ROW * rows, [])


def test_a_set_is_as_large_as_it_is_written(disk):
    images = torch.rand(360, 1, 8, 8)
    made = ImageSet(images, torch.zeros(360, dtype=torch.int64), measure(images, images))
    path, wildcards = file_of(paths.BLIND_SET)
    write_image_set(path, made, {})
    estimated, _ = disk.estimate([(path, wildcards)])
    assert estimated == pytest.approx(os.path.getsize(path), rel=0.02)


def test_the_user_s_own_images_are_counted_as_soon_as_they_are_read(disk):
    files = [file_of(paths.BLIND_SET, dataset="own"), file_of(paths.BLIND_SET)]
    known, _ = disk.estimate(files[1:])
    assert disk.estimate(files) == (known, ["own"])
    folder = Path(paths.DATA.format(dataset="own"))
    for part, n in (("train", 90), ("test", 30)):
        tensors = {"images": torch.zeros(n, 3, 4, 5, dtype=torch.uint8)}
        write_tensors(folder / f"{part}.safetensors", tensors, {"classes": "7"})
    again = Disk(validate(STUDY))
    assert again.estimate(files) == (known + 30 * (60 * VALUE + ROW), [])
    aimed = file_of(paths.BLIND_SET, dataset="own", attack="all")
    assert again.estimate([aimed]) == (20 * 6 * (60 * VALUE + ROW), [])


@pytest.mark.parametrize("kept", [{}, {"train_size": 100, "test_size": 10}, {"test_size": 99_999}])
def test_a_published_set_of_which_only_the_first_are_used_is_as_small(tmp_path, monkeypatch, kept):
    monkeypatch.chdir(tmp_path)
    disk = Disk(validate({**STUDY, "datasets": [{"kind": "cifar10", **kept}]}))
    train = min(50_000, kept.get("train_size", 50_000))
    test = min(10_000, kept.get("test_size", 10_000))
    files = [
        (f"results/data/cifar10/{part}.safetensors", {"dataset": "cifar10"})
        for part in ("train", "test")
    ]
    assert disk.estimate(files) == ((train + test) * (3 * 32 * 32 + 8), [])


def test_sizes_are_those_of_the_data():
    made, size = digits(None), SIZES["digits"]
    assert (len(made.train.labels), len(made.test.labels)) == (size.train, size.test)
    assert made.train.images.shape[1:] == size.shape
    assert len(np.unique(made.train.labels)) == size.classes
    # Each kind that is no source of the user's own has one.
    assert SIZES.keys() == {name for name, kind in DATASETS.items() if kind.source is None}


Usage = namedtuple("Usage", "free")


@pytest.mark.parametrize("free", [10**6, 10**3])
def test_a_run_says_what_it_makes_and_warns_where_that_is_more_than_there_is(
    disk, tmp_path, monkeypatch, free
):
    made, replaced, scored = (
        file_of(pattern) for pattern in (paths.BLIND_SET, paths.AWARE_SET, paths.METRICS)
    )
    removed = file_of(paths.FILTERED_BLIND_SET)
    outputs = [(path, names) for path, names in (made, replaced, scored)]
    outputs.append((temp(removed[0]), removed[1]))
    there = tmp_path / replaced[0]
    there.parent.mkdir(parents=True)
    there.write_bytes(bytes(40_000))
    size = disk.estimate([made, replaced, scored])[0] - 40_000
    said, warned = [], []
    logger = SimpleNamespace(info=said.append, warning=warned.append)
    monkeypatch.setattr(epsigma.engine, "logger", logger)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(free))

    def announce(outputs):
        jobs = [SimpleNamespace(output=[path], wildcards=names) for path, names in outputs]
        workflow = SimpleNamespace(dag=SimpleNamespace(needrun_jobs=lambda: jobs))
        epsigma.engine.announce(workflow, validate(STUDY), "results")
        return said, warned

    # Without a cell there is little to say.
    assert announce([made]) == ([], [])
    text = f"1 cell to make: results will take about {size / 1e6:,.1f} MB more; its disk has"
    (line,), none = announce(outputs) if free > size else announce(outputs)[::-1]
    assert line == f"{text} {free / 1e6:,.1f} MB free"
    assert none == []
