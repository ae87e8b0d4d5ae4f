import math
from itertools import pairwise

import pytest
import torch
from epsigma.attacks.hopskipjump import hopskipjump, hopskipjump_l2
from epsigma.defence import Expectation, defend
from epsigma.detectors.detector import Detector
from epsigma.detectors.rejection import ClassifierWithDetectors, attacked_logits
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.noise import GaussianNoise
from epsigma.models.mlp import MLP
from foolbox import PyTorchModel
from foolbox.attacks import HopSkipJumpAttack
from torch import nn
from torch.nn import functional

WALKS = {"linf": hopskipjump, "l2": hopskipjump_l2}
ORDERS = {"linf": math.inf, "l2": 2}
# Budgets that bound nothing.
WIDE = {"linf": 1, "l2": 100}


def attack(norm, model, images, labels, *, eps=None, seed=0, **how):
    generator = torch.Generator().manual_seed(seed)
    eps = WIDE[norm] if eps is None else eps
    return WALKS[norm](model, images, labels, eps=eps, generator=generator, **how)


def length(delta, norm):
    return torch.linalg.vector_norm(delta.flatten(1), ord=ORDERS[norm], dim=1)


def right_ones(trained, count):
    right = (trained.model(trained.images).argmax(1) == trained.labels).nonzero().squeeze(1)
    return trained.images[right[:count]], trained.labels[right[:count]]


# --- Labels only


class Disguised(nn.Module):
    """The labels of a model, as logits that say nothing else."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        assert not torch.is_grad_enabled()
        logits = self.model(images)
        return functional.one_hot(logits.argmax(1), logits.shape[1]).to(logits)


@pytest.mark.parametrize("norm", WALKS)
def test_it_sees_labels_only(trained, norm):
    images, labels = right_ones(trained, 20)
    seen = attack(norm, trained.model, images, labels, queries=150)
    assert torch.equal(attack(norm, Disguised(trained.model), images, labels, queries=150), seen)
    assert not torch.equal(seen, images)


class Counting(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = 0

    def forward(self, images):
        self.asked += len(images)
        return self.model(images)


@pytest.mark.parametrize("queries", [1, 2, 5, 12, 13, 30, 60, 200, 700])
@pytest.mark.parametrize("norm", WALKS)
def test_each_image_takes_as_many_queries_as_it_may_beside_the_first_look(trained, norm, queries):
    images, labels = right_ones(trained, 3)
    for n in range(3):
        model = Counting(trained.model)
        alone = images[n : n + 1], labels[n : n + 1]
        found = attack(norm, model, *alone, queries=queries, seed=n)
        assert model.asked <= queries + 1
        # The last step has put a few aside.
        assert model.asked > queries - 20 or torch.equal(found, alone[0])


@pytest.mark.parametrize("norm", WALKS)
def test_nothing_is_asked_of_what_is_wrong_already_or_has_no_budget(trained, norm):
    model, (images, labels) = Counting(trained.model), right_ones(trained, 2)
    assert torch.equal(attack(norm, model, images, (labels + 1) % 10), images)
    assert model.asked == 2
    assert torch.equal(attack(norm, model, images, labels, eps=0), images)
    assert model.asked == 2


# --- How near


def linear(classes):
    """A linear model, images well inside the pixel range, and their classes."""
    generator = torch.Generator().manual_seed(5)
    layer = nn.Linear(12, classes).requires_grad_(False)
    layer.weight.copy_(torch.randn(classes, 12, generator=generator))
    layer.bias.copy_(-layer.weight.sum(1) / 2)
    images = 0.4 + 0.2 * torch.rand(30, 1, 3, 4, generator=generator)
    model = nn.Sequential(nn.Flatten(), layer)
    return model, images, model(images).argmax(1)


@pytest.mark.parametrize("norm", WALKS)
@pytest.mark.parametrize("classes", [2, 4])
def test_on_a_linear_model_it_comes_close_to_the_nearest_boundary(norm, classes):
    model, images, labels = linear(classes)
    logits, weight = model(images), model[1].weight
    dual = {"linf": 1, "l2": 2}[norm]
    lead = logits.gather(1, labels[:, None]) - logits
    slope = torch.linalg.vector_norm(weight[labels][:, None] - weight, ord=dual, dim=2)
    exact = (lead / slope).scatter(1, labels[:, None], math.inf).amin(1)
    found = length(attack(norm, model, images, labels, queries=3000) - images, norm)
    assert (found >= exact * (1 - 1e-5)).all()
    # With several rivals another boundary than the nearest may have been met first.
    assert (found / exact).median() < 1.06
    assert (found <= exact * 1.2).float().mean() > (0.95 if classes == 2 else 0.6)


@pytest.mark.parametrize("norm", WALKS)
def test_it_is_as_near_as_foolbox_with_as_many_queries(trained, norm):
    # In l2 one by one, for in larger batches Foolbox's steps are shorter; which takes its time.
    count, size = {"linf": (40, 40), "l2": (10, 1)}[norm]
    images, labels = right_ones(trained, count)
    counted = Counting(trained.model).eval()
    foreign = HopSkipJumpAttack(steps=4, constraint=norm)
    bounded = PyTorchModel(counted, bounds=(0, 1), device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = zip(images.split(size), labels.split(size), strict=True)
        theirs = torch.cat([foreign.run(bounded, *part) for part in parts])
    ours = attack(norm, trained.model, images, labels, queries=counted.asked // count)
    ours, theirs = length(ours - images, norm), length(theirs - images, norm)
    assert ours.median() <= theirs.median() * 1.05


@pytest.mark.parametrize("norm", WALKS)
def test_more_queries_come_nearer(trained, norm):
    images, labels = right_ones(trained, 40)
    means = [
        length(attack(norm, trained.model, images, labels, queries=q) - images, norm).mean()
        for q in (30, 200, 1000, 4000)
    ]
    assert all(more < 0.95 * less for less, more in pairwise(means))


# --- What it returns


@pytest.mark.parametrize("norm", WALKS)
def test_it_returns_what_is_misclassified_within_the_ball_and_else_the_image(trained, norm):
    images, labels = trained.images[:80], trained.labels[:80]
    clean = trained.model(images).argmax(1) != labels
    before = images.clone()
    everything = attack(norm, trained.model, images, labels, queries=300)
    distance = length(everything - images, norm)
    for part in (0.3, 0.5, 0.9):
        eps = float(distance[~clean].quantile(part))
        found = attack(norm, trained.model, images, labels, queries=300, eps=eps)
        within = (distance <= eps).view(-1, 1, 1, 1)
        # The budget decides nothing else.
        assert torch.equal(found, torch.where(within, everything, images))
    assert torch.equal(images, before)
    assert torch.equal(everything[clean], images[clean])
    assert everything.min() >= 0
    assert everything.max() <= 1
    # In a batch of any size.
    alone = torch.cat([trained.model(one).argmax(1) for one in everything.split(1)])
    assert (alone != labels).all()


class Bright(nn.Module):
    """Class 1 is what is bright: noise never is."""

    def forward(self, images):
        lead = images.flatten(1).mean(1) - 0.8
        return torch.stack([-lead, lead], 1)


@pytest.mark.parametrize("norm", WALKS)
def test_where_noise_is_no_start_an_image_of_another_class_is(norm):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4, 1, 8, 8, generator=generator) * 0.2
    images[3] += 0.8
    labels = torch.tensor([0, 0, 0, 1])
    found = attack(norm, Bright(), images, labels, queries=300)
    assert (Bright()(found).argmax(1) != labels).all()
    # Each value has to rise by about 0.7.
    needed = {"linf": 0.7, "l2": 0.7 * 8}[norm]
    assert length(found - images, norm)[:3].tolist() == pytest.approx([needed] * 3, rel=0.15)
    # Without one it gives up, after few queries.
    model = Counting(Bright())
    assert torch.equal(attack(norm, model, images[:3], labels[:3], queries=300), images[:3])
    assert model.asked < 3 * 30


@pytest.mark.parametrize("norm", WALKS)
def test_a_start_may_be_an_image_that_is_misclassified_itself(norm):
    """What counts is what the model says of it."""
    images = torch.stack([torch.full((1, 8, 8), 0.1), torch.full((1, 8, 8), 0.9)])
    found = attack(norm, Bright(), images, torch.tensor([0, 0]), queries=100)
    assert (Bright()(found).argmax(1) == 1).all()
    assert torch.equal(found[1], images[1])


@pytest.mark.parametrize("norm", WALKS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 2), (1, 1, 7)], ids=str)
def test_it_fits_images_of_any_shape_two_classes_and_one_image(norm, shape):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 2)).requires_grad_(False)
    model[1].bias.copy_(-model[1].weight.sum(1) / 2)
    images = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    found = attack(norm, model, images, labels, queries=400)
    assert (model(found).argmax(1) != labels).all()


@pytest.mark.parametrize("norm", WALKS)
def test_a_model_that_says_one_thing_only_leaves_the_images(norm):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).requires_grad_(False)
    model[1].weight.zero_()
    images = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = model(images).argmax(1)
    assert torch.equal(attack(norm, model, images, labels, queries=50), images)


# --- Through defences


@pytest.mark.parametrize("norm", WALKS)
def test_it_needs_no_gradient_where_one_bit_a_value_is_left(trained, norm):
    model = defend(BitDepth(bits=1), trained.model, gradient="bpda")
    right = (model(trained.images).argmax(1) == trained.labels).nonzero().squeeze(1)[:40]
    images, labels = trained.images[right], trained.labels[right]
    found = attack(norm, model, images, labels, queries=400)
    assert (model(found).argmax(1) != labels).all()
    assert (images.round() != found.round()).flatten(1).any(1).all()
    if norm == "linf":
        # From a half on every value can flip.
        assert length(found - images, norm).max() <= 0.501
        assert length(found - images, norm).median() < 0.49


class Mean(Detector):
    """Scores an image by its mean."""

    def forward(self, images, logits, model):
        return images.flatten(1).mean(1)


@pytest.mark.parametrize("norm", WALKS)
def test_detectors_accept_what_it_finds(trained, norm):
    images, labels = right_ones(trained, 60)
    threshold = float(images.flatten(1).mean(1).quantile(0.9))
    model = ClassifierWithDetectors(trained.model, trained.model, [Mean()], [threshold])
    found = attack(norm, model, images, labels, queries=500)
    moved = (found != images).flatten(1).any(1)
    assert moved.float().mean() > 0.5
    assert not model.reject(model.score(found[moved])).any()
    assert (attacked_logits(model, found, labels).argmax(1) != labels)[moved].all()
    # Without the detector some go where it would reject them.
    bare = attack(norm, trained.model, images, labels, queries=500)
    assert model.reject(model.score(bare)).any()


class Rough(Detector):
    """Scores an image by its largest step from a pixel to the next: noise is rough."""

    def forward(self, images, logits, model):
        pixels = images.flatten(1)
        return (pixels[:, 1:] - pixels[:, :-1]).abs().amax(1)


@pytest.mark.parametrize("norm", WALKS)
def test_an_image_that_is_rejected_is_no_start(norm):
    bright = Bright()
    model = ClassifierWithDetectors(bright, bright, [Rough()], [0.2])
    images = torch.stack([torch.full((1, 8, 8), value) for value in (0.2, 0.85, 0.98)])
    labels = torch.tensor([0, 1, 1])
    # The nearest of another class, in either norm.
    images[1, 0, 4, 4] = 0.95
    images[1, 0, 4, 5] = 0.7
    found = attack(norm, model, images, labels, queries=300)
    assert attacked_logits(model, found, labels).argmax(1)[0] == 1


@pytest.mark.parametrize("norm", WALKS)
def test_behind_a_filter_that_draws_a_query_is_a_draw_and_the_walk_ends(trained, norm):
    images, labels = right_ones(trained, 20)
    draws = torch.Generator().manual_seed(1)
    noisy = nn.Sequential(GaussianNoise(std=0.2, generator=draws), trained.model)
    shares = []
    for samples in (1, 10):
        model = Counting(Expectation(noisy, samples))
        found = attack(norm, model, images, labels, queries=300)
        assert model.asked <= 20 * 301
        shares.append((Expectation(noisy, 50)(found).argmax(1) != labels).float().mean())
    # What is nearest was lucky, the more so the fewer draws a query takes.
    assert shares[0] < shares[1]


@pytest.mark.parametrize("norm", WALKS)
def test_in_double_precision_it_works_the_same(trained, norm):
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double().requires_grad_(False)
    model.load_state_dict(trained.model.state_dict())
    images, labels = right_ones(trained, 10)
    found = attack(norm, model, images.double(), labels, queries=200)
    assert found.dtype == torch.float64
    assert (model(found).argmax(1) != labels).all()
