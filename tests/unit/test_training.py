import csv
import os
import types
from pathlib import Path

import pytest
import torch
from epsigma.job import Job
from epsigma.models.classifier import load_classifier, predict
from epsigma.stages.dataset import dataset
from epsigma.stages.train import train
from epsigma.storage.files import read_json
from epsigma.storage.images import ImageSet, read_clean
from epsigma.training.lightning import size_validation, split_validation

CPU = torch.device("cpu")
EPOCHS = 6
SETTINGS = {
    "model": {"implementation": "epsigma.models.mlp:MLP", "parameters": {"hidden": 32}},
    "training": {"epochs": EPOCHS, "batch_size": 32, "learning_rate": 0.005, "validation": 0.1},
    "seed": 0,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train on digits: a function of the seed, the names of the files it wrote."""
    folder = tmp_path_factory.mktemp("training")
    deterministic, environment = torch.are_deterministic_algorithms_enabled(), dict(os.environ)

    def job(settings, log, **cell):
        return Job(cell, settings, "0" * 16, "cpu", str(folder / log))

    images = {part: str(folder / f"{part}.safetensors") for part in ("train", "test")}
    digits = {"implementation": "epsigma.datasets.digits:digits", "parameters": {}}
    dataset(job(digits, "data.log"), data_dir="", **images)

    def once(seed, name):
        files = types.SimpleNamespace(
            checkpoint=folder / name / "checkpoint.ckpt",
            curve=folder / name / "training.csv",
            spent=folder / name / "training.json",
            log=folder / f"{name}.log",
            test=images["test"],
        )
        train(
            job({**SETTINGS, "seed": seed}, f"{name}.log", dataset="digits", seed=str(seed)),
            images=images["train"],
            checkpoint=str(files.checkpoint),
            curve=str(files.curve),
            spent=str(files.spent),
        )
        return files

    with torch.random.fork_rng(devices=[]):
        yield once
    # Training sets these for its process; the tests share one.
    torch.use_deterministic_algorithms(deterministic)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="module")
def first(run):
    return run(0, "first")


def test_a_shallow_network_learns_digits_in_a_few_epochs(first):
    test = read_clean(first.test, CPU)
    model = load_classifier(first.checkpoint, SETTINGS["model"], CPU)
    accuracy = (predict(model, test.images).argmax(1) == test.labels).float().mean()
    assert accuracy >= 0.85


def test_the_curve_has_a_row_an_epoch_and_rates_that_learning_moves(first):
    with open(first.curve, newline="", encoding="utf-8") as file:
        curve = list(csv.DictReader(file))
    assert list(curve[0]) == [
        "epoch",
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
    ]
    assert [row["epoch"] for row in curve] == [str(epoch + 1) for epoch in range(EPOCHS)]
    start, end = ({key: float(value) for key, value in curve[i].items()} for i in (0, -1))
    for part in ("train", "validation"):
        assert end[f"{part}_loss"] < start[f"{part}_loss"]
        assert start[f"{part}_accuracy"] < end[f"{part}_accuracy"] <= 1
    # Rates are shares of the 1,293 and 144 images that are trained and validated on.
    for row in curve:
        for part, n in (("train", 1293), ("validation", 144)):
            correct = float(row[f"{part}_accuracy"]) * n
            assert correct == pytest.approx(round(correct), abs=1e-6)


def test_what_was_spent_is_time_and_parameters(first):
    spent = read_json(first.spent)
    assert set(spent) == {"trained", "seconds", "parameters"}
    assert spent["trained"] is True
    assert 0 < spent["seconds"] < 600
    # 64 values to 32 units to 10 classes, with biases.
    assert spent["parameters"] == 65 * 32 + 33 * 10


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(run, first):
    again, other = run(0, "again"), run(1, "other")
    assert again.checkpoint.read_bytes() == first.checkpoint.read_bytes()
    assert again.curve.read_bytes() == first.curve.read_bytes()
    assert other.curve.read_bytes() != first.curve.read_bytes()
    one, two = (
        torch.load(files.checkpoint, weights_only=True)["state_dict"] for files in (first, other)
    )
    assert all(not torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_is_read_without_a_pickle_and_says_what_it_is(first):
    content = torch.load(first.checkpoint, weights_only=True)
    about = content["hyper_parameters"]
    assert about["shape"] == [1, 8, 8]
    assert about["classes"] == 10
    assert about["cell"] == '{"dataset": "digits", "seed": "0"}'
    assert {"settings", "code", "versions"} <= set(about)
    # What nobody resumes from is not kept.
    assert "optimizer_states" not in content


def test_a_checkpoint_gives_the_logits_of_its_weights(first):
    weights = torch.load(first.checkpoint, weights_only=True)["state_dict"]
    images = read_clean(first.test, CPU).images
    hidden = images.flatten(1) @ weights["model.layers.1.weight"].T + weights["model.layers.1.bias"]
    expected = (
        hidden.clamp(min=0) @ weights["model.layers.3.weight"].T + weights["model.layers.3.bias"]
    )
    model = load_classifier(first.checkpoint, SETTINGS["model"], CPU)
    torch.testing.assert_close(predict(model, images), expected, atol=1e-4, rtol=1e-5)


def test_a_loaded_classifier_is_frozen_and_in_eval_mode(first):
    model = load_classifier(first.checkpoint, SETTINGS["model"], CPU)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_training_logs_a_line_an_epoch_and_prints_nothing(run, capfd):
    files = run(2, "third")
    assert capfd.readouterr() == ("", "")
    log = files.log.read_text(encoding="utf-8")
    for epoch in range(EPOCHS):
        assert f"epoch {epoch + 1} of {EPOCHS}: train_loss" in log


def test_the_files_have_the_permissions_of_any_other_file(tmp_path, first):
    (tmp_path / "other").touch()
    for path in (first.checkpoint, first.curve, first.spent):
        assert oct(Path(path).stat().st_mode) == oct((tmp_path / "other").stat().st_mode)


# --- The validation split


def numbered(n):
    """Images and labels that say which they are."""
    return ImageSet(torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1), torch.arange(n))


@pytest.mark.parametrize(
    ("n", "fraction", "size"), [(100, 0.1, 10), (1437, 0.1, 144), (10, 0.5, 5), (3, 0.4, 1)]
)
def test_a_part_is_held_out_and_nothing_is_lost_or_in_both(n, fraction, size):
    learn, held_out = split_validation(numbered(n), fraction=fraction, seed=0)
    assert (len(learn), len(held_out)) == (n - size, size)
    assert sorted([*learn.labels.tolist(), *held_out.labels.tolist()]) == list(range(n))
    for part in (learn, held_out):
        assert part.images.flatten().tolist() == part.labels.tolist()
        images, labels = part[[0]]
        assert images.item() == labels.item() == part.labels[0]


def test_what_is_held_out_is_random_and_the_seed_s():
    zero, again, one = (
        split_validation(numbered(100), fraction=0.2, seed=seed)[1].labels.tolist()
        for seed in (0, 0, 1)
    )
    assert zero == again
    assert set(zero) != set(one)
    assert sorted(zero) not in (list(range(20)), list(range(80, 100)))


@pytest.mark.parametrize(("n", "fraction"), [(10, 0.01), (10, 0.99), (1, 0.5)])
def test_a_split_that_leaves_nothing_is_refused(n, fraction):
    with pytest.raises(ValueError, match=f"validation: {fraction} of {n} images leaves"):
        split_validation(numbered(n), fraction=fraction, seed=0)


@pytest.mark.parametrize(
    ("shape", "learnt", "validated"),
    [
        ((1, 28, 28), 128, 1000),
        ((1, 28, 28), 2000, 1000),
        ((3, 32, 32), 128, 255),
        ((3, 224, 224), 32, 32),
        ((3, 224, 224), 1, 5),
    ],
)
def test_validation_batches_hold_no_more_than_memory_has_room_for(shape, learnt, validated):
    """As many values as 1,000 of MNIST's images, or as many images as are learnt from."""
    assert size_validation(learnt, torch.empty(9, *shape)) == validated
