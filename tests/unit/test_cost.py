import copy
import csv

import pytest
import torch
from epsigma.detectors.rejection import ClassifierWithDetectors
from epsigma.detectors.squeezing import Squeezing
from epsigma.filters.gaussian import Gaussian
from epsigma.models.cnn import CNN
from epsigma.models.mlp import MLP
from epsigma.stages import cost
from epsigma.stages.cost import COLUMNS, ROUNDS, TIMED, measure_cost, multiply_adds
from epsigma.storage.files import write_json
from torch import nn

IDENTITY = {"implementation": "epsigma.filters.none:Identity", "parameters": {}}
GAUSSIAN = {"implementation": "epsigma.filters.gaussian:Gaussian", "parameters": {"sigma": 1}}


def image(*shape):
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))


# --- Multiply-adds


@pytest.mark.parametrize(
    ("shape", "classes", "hidden"), [((1, 8, 8), 10, 32), ((3, 32, 32), 7, 64), ((1, 1, 1), 2, 1)]
)
def test_multiply_adds_of_a_shallow_network_are_the_products_of_its_layers(shape, classes, hidden):
    model = MLP(shape, classes, hidden=hidden)
    size = shape[0] * shape[1] * shape[2]
    assert multiply_adds(model, image(*shape)) == size * hidden + hidden * classes


def test_multiply_adds_of_a_convolution_are_those_of_its_kernel_at_every_pixel():
    layer = nn.Conv2d(3, 5, 3, padding=1)
    assert multiply_adds(layer, image(3, 8, 9)) == 3 * 5 * 9 * 8 * 9
    assert multiply_adds(nn.Conv2d(3, 5, 3), image(3, 8, 9)) == 3 * 5 * 9 * 6 * 7


def test_what_asks_twice_counts_twice():
    model = MLP((1, 8, 8), 10, hidden=32)
    once = multiply_adds(model, image(1, 8, 8))
    through = nn.Sequential(nn.ReLU(), model)
    # The classifier behind the filter, the bare one, and of the squeezed image.
    whole = ClassifierWithDetectors(through, model, [Squeezing(filters=[nn.ReLU()])], [0.5])
    assert multiply_adds(whole, image(1, 8, 8)) == 3 * once


def test_counting_leaves_the_model_as_it_was():
    model = CNN((1, 8, 8), 10).eval()
    before = copy.deepcopy(model.state_dict())
    first = multiply_adds(model, image(1, 8, 8))
    assert first > 0
    assert multiply_adds(model, image(1, 8, 8)) == first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training


# --- The stage


@pytest.fixture
def measure(tmp_path, monkeypatch, clean_file, checkpoint, trained, make_job):
    """Measure the cost of defences, each an entry without what all share: the rows."""
    # How long it takes is not what is tested.
    monkeypatch.setattr(cost, "ROUNDS", 3)
    monkeypatch.setattr(cost, "TIMED", {1: 1, 1000: 1})
    threads = torch.get_num_threads()

    def spent(name, seconds, parameters=100):
        path = tmp_path / f"{name}.json"
        write_json(path, {"seconds": seconds, "parameters": parameters})
        return str(path)

    def measure(*entries):
        made = []
        for entry in entries:
            whole = {
                "cell": {"model": "mlp", "filter": "none", "strength": "fixed"},
                "model": trained.settings,
                "filter": IDENTITY,
                "checkpoint": str(checkpoint),
                "trained": {"mlp": 10.0},
                "undefended": {"mlp": 10.0},
                "autoencoders": {},
                **entry,
            }
            for part in ("trained", "undefended", "autoencoders"):
                sizes = {"mlp": 2410, "autoencoder": 142}
                whole[part] = [
                    spent(name, seconds, sizes.get(name, 100))
                    for name, seconds in whole[part].items()
                ]
            made.append(whole)
        path = tmp_path / "cost.csv"
        job = make_job({"defences": made}, dataset="digits")
        measure_cost(job, test=str(clean_file), cost=str(path))
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    yield measure
    torch.set_num_threads(threads)


def test_a_row_a_defence_says_what_it_is(measure):
    cell = {"model": "mlp", "filter": "gaussian", "strength": "sigma~0.5"}
    rows = measure({}, {"cell": cell, "filter": GAUSSIAN})
    assert list(rows[0]) == COLUMNS
    names = ("dataset", "model", "filter", "strength_name", "strength", "detectors")
    found = [tuple(row[name] for name in names) for row in rows]
    assert found == [
        ("digits", "mlp", "none", "", "", "0"),
        ("digits", "mlp", "gaussian", "sigma", "0.5", "0"),
    ]


def test_seconds_of_the_model_its_teacher_and_the_autoencoders_add_up(measure):
    defended = {
        "trained": {"student": 12.5, "teacher": 11.5},
        "undefended": {"mlp": 10.0},
        "autoencoders": {"autoencoder": 4.0, "second": 2.0},
    }
    plain, row = measure({}, defended)
    assert (float(plain["training_seconds"]), float(plain["extra_training_seconds"])) == (10, 0)
    assert float(row["training_seconds"]) == 30
    assert float(row["extra_training_seconds"]) == 20


def test_parameters_are_those_of_what_is_asked_about_an_image_which_the_teacher_is_not(measure):
    plain, row = measure(
        {}, {"trained": {"mlp": 1.0, "teacher": 1.0}, "autoencoders": {"autoencoder": 1.0}}
    )
    assert int(plain["parameters"]) == 2410
    assert int(row["parameters"]) == 2410 + 142


@pytest.mark.parametrize(
    ("seconds", "without", "expected"), [(None, 10.0, ""), (3.0, None, "3"), (None, None, "")]
)
def test_where_the_weights_are_from_a_file_nobody_knows_how_much_more_it_took(
    measure, seconds, without, expected
):
    (row,) = measure({"trained": {"own": seconds}, "undefended": {"other": without}})
    assert row["training_seconds"] == expected
    assert row["extra_training_seconds"] == ""
    assert int(row["parameters"]) == 100


def test_multiply_adds_and_times_are_those_of_the_whole_defence(measure, tmp_path):
    write_json(tmp_path / "threshold.json", {"threshold": 0.5})
    squeezer = {**GAUSSIAN, "gradient": "exact"}
    detector = {
        "detector": "squeezing",
        "implementation": "epsigma.detectors.squeezing:Squeezing",
        "parameters": {"filters": [squeezer]},
        "threshold": str(tmp_path / "threshold.json"),
    }
    plain, row = measure({}, {"detectors": [detector]})
    once = 64 * 32 + 32 * 10
    assert int(plain["multiply_adds"]) == once
    # The classifier of the image, once for all who ask, and of the squeezed one; the Gaussian
    # convolves, too.
    assert int(row["multiply_adds"]) == 2 * once + multiply_adds(Gaussian(sigma=1), image(1, 8, 8))
    assert row["detectors"] == "1"
    for batch in TIMED:
        low, middle, high = (
            float(row[f"microseconds_{batch}{of}"]) for of in ("_low", "", "_high")
        )
        assert 0 < low <= middle <= high
    # An image of many takes less.
    assert float(row["microseconds_1000"]) < float(row["microseconds_1"])


def test_all_defences_take_turns_in_every_round(monkeypatch):
    asked = []

    def noted(name):
        class Noted(nn.Module):
            def forward(self, images):
                asked.append((name, len(images)))
                return images

        return Noted()

    monkeypatch.setattr(cost, "TIMED", {1: 1, 3: 1})
    shown = {1: torch.zeros(1, 1, 2, 2), 3: torch.zeros(3, 1, 2, 2)}
    taken = cost._time_in_turns([noted("a"), noted("b")], shown)
    a_round = [("a", 1), ("a", 3), ("b", 1), ("b", 3)]
    assert asked[-len(a_round) * ROUNDS :] == a_round * ROUNDS
    assert all(name in ("a", "b") and n == 1 for name, n in asked[: -len(a_round) * ROUNDS])
    assert [{batch: len(times) for batch, times in one.items()} for one in taken] == [
        {1: ROUNDS, 3: ROUNDS}
    ] * 2


def test_the_spread_is_of_quartiles_in_microseconds():
    taken = {1000: [1e-6, 2e-6, 3e-6, 4e-6, 9e-6]}
    assert dict(cost._quartiles(taken, 1000)) == pytest.approx(
        {"microseconds_1000": 3, "microseconds_1000_low": 2, "microseconds_1000_high": 4}
    )


def test_few_images_are_shown_again():
    few = torch.arange(3.0).view(3, 1, 1, 1)
    assert cost._repeat(few, 7).flatten().tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert cost._repeat(few, 1).flatten().tolist() == [0]
