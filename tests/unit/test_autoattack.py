import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from epsigma.attacks.apgd import apgd
from epsigma.attacks.autoattack import VERSIONS, autoattack, autoattack_l2
from epsigma.attacks.balls import normalise
from epsigma.attacks.craft import make_set, rows_of
from epsigma.attacks.pgd import pgd, pgd_l2
from epsigma.attacks.square_l2 import bump, bumps, draw_tiles, square_l2
from epsigma.defence import defend
from epsigma.detectors.detector import Detector
from epsigma.detectors.rejection import ClassifierWithDetectors, attacked_logits
from epsigma.filters.noise import GaussianNoise
from epsigma.models.mlp import MLP
from epsigma.scoring import summarise
from epsigma.storage.images import FOOLED_BY, ImageSet, read_image_set, write_image_set
from torch import nn

AUTOATTACK = {"linf": autoattack, "l2": autoattack_l2}
PARTS = {"standard": ["apgd_ce", "apgd_t", "fab_t", "square"], "rand": ["apgd_ce", "apgd_dlr"]}
QUICK = {"steps": 5, "queries": 20}
CPU = torch.device("cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def fooled(model, images, labels):
    return model(images).argmax(1) != labels


class Told:
    """What an ensemble tells of its parts."""

    def __init__(self):
        self.parts = {}

    def __call__(self, name, at):
        self.parts[name] = at


def length(delta, norm):
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(flat, dim=1)


# --- The ensemble


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.3)])
def test_each_example_is_fooled_by_one_part_or_by_none(trained, norm, eps, version):
    told, given = Told(), (trained.images, trained.labels)
    how = {"eps": eps, "version": version, "on_part": told, "generator": seeded(), **QUICK}
    found = AUTOATTACK[norm](trained.model, *given, **how)
    assert list(told.parts) == PARTS[version]
    clean, attacked = (fooled(trained.model, images, given[1]) for images in (given[0], found))
    by = torch.cat(list(told.parts.values()))
    assert len(by.unique()) == len(by)
    assert torch.equal(by.sort().values, (attacked & ~clean).nonzero().squeeze(1))
    assert 0 < len(by) < len(found)
    assert torch.equal(found[clean], given[0][clean])
    # What none of them fools was attacked, too: a filter that nobody knew of may yet see to it.
    assert (found != given[0]).flatten(1).any(1)[~attacked].all()
    assert length(found - given[0], norm).max() <= eps * (1 + 1e-5)


def test_the_first_part_is_apgd_and_none_is_lost(trained):
    given, told = (trained.model, trained.images, trained.labels), Told()
    found = autoattack(*given, eps=0.05, on_part=told, generator=seeded(), **QUICK)
    right = ~fooled(*given)
    alone = apgd(*given, eps=0.05, steps=5, generator=seeded())
    first = fooled(given[0], alone, given[2]) & right
    assert torch.equal(told.parts["apgd_ce"], first.nonzero().squeeze(1))
    assert torch.equal(found[first], alone[first])


def test_a_part_asks_only_about_what_those_before_left(trained):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.asked = []

        def forward(self, images):
            self.asked.append(len(images))
            return trained.model(images)

    model, seen = Counting(), []

    def note(name, at):
        seen.append((max(model.asked), len(at)))
        model.asked.clear()

    how = {"eps": 0.05, "on_part": note, "generator": seeded(), **QUICK}
    autoattack(model, trained.images, trained.labels, **how)
    left = int((~fooled(trained.model, trained.images, trained.labels)).sum())
    for (_, count), (most, _) in pairwise(seen):
        left -= count
        assert most == left


@pytest.mark.parametrize("norm", AUTOATTACK)
def test_with_a_budget_of_0_nobody_asks_in_vain(trained, norm):
    asked, told = [], Told()

    def model(images):
        asked.append(len(images))
        return trained.model(images)

    found = AUTOATTACK[norm](model, trained.images, trained.labels, eps=0, on_part=told)
    assert torch.equal(found, trained.images)
    assert asked == [len(found)]
    assert {name: len(at) for name, at in told.parts.items()} == dict.fromkeys(PARTS["standard"], 0)


def exactly_fooled(weight, bias, images, labels, *, eps, norm):
    """Which images a linear model misclassifies somewhere in the ball: it has a closed form."""
    worst = torch.full(labels.shape, -torch.inf, dtype=torch.float64)
    for target in range(len(weight)):
        direction = weight[target] - weight[labels]
        flat = images.flatten(1)
        if norm == "linf":
            end = (flat + eps * direction.sign()).clamp(0, 1)
        else:
            end = flat + eps * direction / torch.linalg.vector_norm(
                direction, dim=1, keepdim=True
            ).clamp(min=1e-12)
        lead = (end * direction).sum(1) + bias[target] - bias[labels]
        worst = torch.where(labels == target, worst, torch.maximum(worst, lead))
    return worst > 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("classes", [2, 3, 4, 12])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.06), ("l2", 0.12)])
def test_of_a_linear_model_it_fools_exactly_what_can_be_fooled(norm, eps, classes, version):
    layer = nn.Linear(12, classes, dtype=torch.float64).requires_grad_(False)
    layer.weight.copy_(torch.randn(classes, 12, generator=seeded(1), dtype=torch.float64))
    layer.bias.copy_(-layer.weight.sum(1) / 2)
    model = nn.Sequential(nn.Flatten(), layer)
    # So far from 0 and 1 that the l2 ball is within the pixel range.
    images = torch.rand(150, 1, 3, 4, generator=seeded(2), dtype=torch.float64) * 0.7 + 0.15
    labels = model(images).argmax(1)
    how = {"eps": eps, "version": version, "queries": 20, "generator": seeded()}
    found = fooled(model, AUTOATTACK[norm](model, images, labels, **how), labels)
    expected = exactly_fooled(layer.weight, layer.bias, images, labels, eps=eps, norm=norm)
    # The untargeted losses may climb towards another class.
    missed = 0 if version == "standard" or classes == 2 else 4
    assert not (found & ~expected).any()
    assert (expected & ~found).sum() <= missed
    assert 20 < expected.sum() < 145


def test_against_noise_it_makes_all_its_steps(trained):
    model = defend(
        GaussianNoise(std=0.1, generator=seeded()), trained.model, gradient="exact", eot_samples=3
    )
    found = autoattack(
        model, trained.images, trained.labels, eps=0.1, version="rand", generator=seeded(), **QUICK
    )
    once = nn.Sequential(GaussianNoise(std=0.1, generator=seeded(5)), trained.model)
    assert fooled(once, found, trained.labels).double().mean() > 0.5


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"version": "plus"}, "version = 'plus' is none of standard, rand"),
        ({"steps": 0}, "steps = 0 is less than 1"),
        ({"queries": 0}, "queries = 0 is less than 1"),
        ({"target_classes": 0}, "target_classes = 0 is less than 1"),
    ],
)
def test_what_makes_no_sense_is_refused(trained, parameters, said):
    with pytest.raises(ValueError, match=said):
        autoattack(trained.model, trained.images, trained.labels, eps=0.1, **parameters)


# --- What its parts did


def settings(**parameters):
    return {
        "implementation": "epsigma.attacks.autoattack:autoattack",
        "parameters": {"eps": 0.05, **QUICK, **parameters},
        "random": True,
        "ensemble": True,
    }


def test_a_set_says_which_part_fooled_which_example(trained, tmp_path):
    how = settings()
    rows = rows_of(how, trained.labels, 10)
    images, measures = make_set(how, seeded(), trained.model, trained.images, rows)
    names = [f"{FOOLED_BY}{part}" for part in PARTS["standard"]]
    assert list(measures) == [*ImageSet.MEASURES, *names]
    told = Told()
    expected = autoattack(
        trained.model,
        trained.images,
        trained.labels,
        on_part=told,
        generator=seeded(),
        **how["parameters"],
    )
    assert torch.equal(images, expected)
    for part, at in told.parts.items():
        assert torch.equal(measures[f"{FOOLED_BY}{part}"].nonzero().squeeze(1), at)
    path = tmp_path / "set.safetensors"
    write_image_set(path, ImageSet(images, trained.labels, measures), {})
    again = read_image_set(path, CPU).measures
    assert all(torch.equal(again[name], measures[name]) for name in measures)


def test_with_detectors_the_part_that_fooled_is_of_the_result_that_is_taken(trained):
    class Odd(Detector):
        """Rejects half of the images, whatever is done."""

        def forward(self, images, logits, model):
            return (torch.arange(len(images)) % 2) * 2.0 + images.flatten(1).sum(1) * 0

    model = ClassifierWithDetectors(trained.model, trained.model, [Odd()], [1.0])
    rows = rows_of(settings(), trained.labels[:1], 10)
    _, measures = make_set(settings(), seeded(), model, trained.images[:1], rows)
    assert {name for name in measures if name.startswith(FOOLED_BY)} == {
        f"{FOOLED_BY}{part}" for part in ["pgd", *PARTS["standard"]]
    }


class Brightness(Detector):
    """Notices noise on a dark ground: the mean of an image."""

    def forward(self, images, logits, model):
        return images.flatten(1).mean(1)


@pytest.mark.parametrize("version", PARTS)
@pytest.mark.parametrize(
    ("attack", "from_image", "eps"),
    [
        (autoattack, partial(pgd, optimizer="adam", step_size=0.03), 0.3),
        (autoattack_l2, partial(pgd_l2, step_size=2.5 / 20), 1.0),
    ],
)
def test_with_detectors_it_begins_from_the_image(trained, attack, from_image, eps, version):
    """Its first part is PGD from the images, which is all that it adds to."""
    images, labels = trained.images[:40], trained.labels[:40]
    bright = images.flatten(1).mean(1).max().item()
    model = ClassifierWithDetectors(trained.model, trained.model, [Brightness()], [bright])
    told = Told()
    attack(
        model, images, labels, eps=eps, version=version, steps=20, queries=5, on_part=told,
        generator=seeded(),
    )  # fmt: skip
    assert list(told.parts) == ["pgd", *PARTS[version]]
    stops = version == "standard"
    alone = from_image(
        model, images, labels, eps=eps, steps=20, loss="margin", random_start=False,
        early_stop=stops,
    )  # fmt: skip
    before, after = (attacked_logits(model, x, labels).argmax(1) != labels for x in (images, alone))
    assert after.any()
    assert torch.equal(told.parts["pgd"], (after & ~before).nonzero().squeeze(1))


# --- Square in l2


def test_a_bump_is_the_sum_of_the_paper_s_equation_2():
    expected = torch.tensor([[0.25, 0.25, 0.25], [0.25, 1.25, 0.25], [0.25, 0.25, 0.25]])
    torch.testing.assert_close(bump(3, 3, torch.ones(())), expected)
    for height, width in ((2, 5), (4, 7), (3, 6)):
        n = max(height, width) // 2
        for r in range(height):
            for s in range(width):
                rings = n - max(abs(r - height // 2), abs(s - width // 2))
                wanted = sum(1 / (n + 1 - k) ** 2 for k in range(rings + 1))
                found = bump(height, width, torch.ones(()))[r, s]
                assert found.item() == pytest.approx(wanted)


@pytest.mark.parametrize("side", [1, 2, 3, 7])
def test_beside_a_bump_is_its_negative(side):
    both = bumps(side, torch.ones(()))
    assert torch.linalg.vector_norm(both).item() == pytest.approx(1)
    assert (both[: side // 2] > 0).all()
    assert (both[side // 2 :] < 0).all()


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (1, 3, 9), (2, 2, 2)])
def test_tiles_are_of_length_1(shape):
    tiles = draw_tiles(torch.zeros(6, *shape), seeded())
    torch.testing.assert_close(length(tiles, "l2"), torch.ones(6))
    assert len(tiles.flatten(1).unique(dim=0)) > 1
    torch.testing.assert_close(normalise(tiles.clone()), tiles)


def test_square_l2_spends_the_budget_wherever_the_pixel_range_allows_it():
    class Falling(nn.Module):
        """Ever less sure of class 0, so that every query is kept, and never fooled."""

        def __init__(self):
            super().__init__()
            self.asked = 0

        def forward(self, images):
            self.asked += 1
            return torch.tensor([[1 + 1 / self.asked, 0.0]]).expand(len(images), 2)

    images, labels = torch.full((20, 2, 9, 9), 0.5), torch.zeros(20, dtype=torch.int64)
    model = Falling()
    found = square_l2(model, images, labels, eps=0.6, queries=200, generator=seeded())
    assert model.asked == 201
    torch.testing.assert_close(length(found - images, "l2"), torch.full((20,), 0.6))


def test_square_l2_fools_more_with_more_queries(trained):
    wins = []
    for queries in (1, 40, 300):
        how = {"eps": 0.5, "queries": queries, "generator": seeded()}
        found = square_l2(trained.model, trained.images[:100], trained.labels[:100], **how)
        wins.append(fooled(trained.model, found, trained.labels[:100]).sum())
    assert wins[0] < wins[1] < wins[2]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"eps": -0.1}, "eps = .* is no finite"),
        ({"eps": math.inf}, "eps = .* is no finite"),
        ({"queries": 0}, "queries = 0 is less than 1"),
        ({"p_init": 0}, r"p_init = .* is outside \(0, 1\]"),
    ],
)
def test_square_l2_refuses_what_is_out_of_range(parameters, said):
    model = MLP((1, 4, 4), 3, hidden=4)
    with pytest.raises(ValueError, match=said):
        square_l2(model, torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), **{"eps": 1} | parameters)


def test_a_cell_counts_what_each_part_fooled():
    n = 4
    measures = dict.fromkeys(ImageSet.MEASURES, np.zeros(n, np.float32))
    columns = {
        "index": np.arange(n),
        "correct": np.array([False, False, True, False]),
        "correct_clean": np.array([True, True, True, False]),
        "probability": np.ones(n, np.float32),
        "fooled_by_apgd_ce": np.array([True, False, False, False]),
        "fooled_by_square": np.array([False, True, False, False]),
        **measures,
    }
    found = summarise(columns)
    assert found["n_fooled_by_apgd_ce"] == found["n_fooled_by_square"] == 1
    assert found["n_fooled"] == 2
