from itertools import pairwise

import numpy as np
import pytest
import torch
from epsigma.attacks.fab import fab, fab_l2
from epsigma.attacks.hyperplane import move_onto_hyperplane
from epsigma.attacks.losses import clear_margin, margin
from epsigma.models.mlp import MLP
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog
from torch import nn

FAB = {"linf": fab, "l2": fab_l2}


def length(delta, norm):
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def fooled(model, images, labels):
    return model(images).argmax(1) != labels


# --- The hyperplane


def by_sorting(points, gradient, value, norm):
    """The same δ, of one point: walk from corner to corner of the piecewise linear sum."""
    weight, towards = np.abs(gradient), -np.sign(value) * np.sign(gradient)
    room = np.where(towards > 0, 1 - points, points)
    slope = weight if norm == "linf" else weight**2
    corner = np.divide(weight * room, slope, out=np.full_like(room, np.inf), where=slope > 0)
    level, missing = 0.0, abs(value)
    for i in np.argsort(corner):
        rate = slope[corner > level].sum()
        if not np.isfinite(corner[i]) or rate * (corner[i] - level) >= missing:
            break
        missing -= rate * (corner[i] - level)
        level = corner[i]
    rate = slope[corner > level].sum()
    level = level + missing / rate if rate > 0 else np.inf
    level = min(level, 1e300)
    return np.minimum(room, level if norm == "linf" else weight * level) * towards


@given(
    norm=st.sampled_from(sorted(FAB)),
    seed=st.integers(0, 2**32 - 1),
    features=st.integers(1, 40),
    reach=st.sampled_from([0.0, 1e-3, 0.1, 1.0, 10.0]),
)
def test_the_shortest_way_to_a_hyperplane_is_that_of_sorting(norm, seed, features, reach):
    random = np.random.default_rng(seed)
    points = np.clip(random.uniform(-0.5, 1.5, (5, features)), 0, 1)
    gradient = random.normal(size=(5, features)) * (random.random((5, features)) < 0.8)
    value = random.normal(size=5) * reach
    found = move_onto_hyperplane(*map(torch.from_numpy, (points, gradient, value)), norm)
    expected = [by_sorting(*one, norm) for one in zip(points, gradient, value, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    there = points + found.numpy()
    assert there.min() >= -1e-15
    assert there.max() <= 1 + 1e-15
    left = value + (gradient * found.numpy()).sum(1)
    most = np.where(gradient * -np.sign(value)[:, None] > 0, 1 - points, points)
    is_reachable = (np.abs(gradient) * most).sum(1) >= np.abs(value)
    np.testing.assert_allclose(left[is_reachable], 0, atol=1e-9)
    assert (np.sign(left) == np.sign(value))[~is_reachable].all()


@pytest.mark.parametrize("seed", range(5))
def test_it_is_as_short_as_scipy_finds(seed):
    random = np.random.default_rng(seed)
    point = np.clip(random.uniform(-0.3, 1.3, 12), 0, 1)
    gradient = random.normal(size=12)
    # Of a point of the pixel range, so that it can be reached.
    value = gradient @ (point - random.random(12))
    found = {
        norm: move_onto_hyperplane(
            *(torch.tensor(np.array([one])) for one in (point, gradient, value)), norm
        )[0].numpy()
        for norm in FAB
    }
    # min t for -t <= δ <= t, g·δ = -value.
    identity, ones = np.eye(12), np.ones((12, 1))
    linear = linprog(
        np.r_[np.zeros(12), 1],
        A_ub=np.block([[identity, -ones], [-identity, -ones]]),
        b_ub=np.zeros(24),
        A_eq=np.r_[gradient, 0][None],
        b_eq=[-value],
        bounds=[*zip(-point, 1 - point, strict=True), (0, None)],
    )
    assert np.abs(found["linf"]).max() == pytest.approx(linear.fun, abs=1e-9)

    # min ‖δ‖₂: δ lies along g, where no bound is in its way.
    def bounded(rate):
        return np.clip(rate * gradient, -point, 1 - point)

    rate = brentq(lambda rate: gradient @ bounded(rate) + value, -1e3, 1e3, xtol=1e-15)
    np.testing.assert_allclose(found["l2"], bounded(rate), atol=1e-9)


@pytest.mark.parametrize("norm", FAB)
@pytest.mark.parametrize("scale", [1e-28, 1e-18, 1, 1e18])
def test_it_does_not_depend_on_the_scale_of_the_function(norm, scale):
    generator = torch.Generator().manual_seed(2)
    points, gradient = torch.rand(2, 30, generator=generator)
    value = (gradient * (torch.rand(30, generator=generator) - points)).sum()[None]
    expected = move_onto_hyperplane(points[None], gradient[None], value, norm)
    found = move_onto_hyperplane(points[None], gradient[None] * scale, value * scale, norm)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert expected.abs().max() > 0.01


@pytest.mark.parametrize("norm", FAB)
def test_without_a_gradient_nothing_moves(norm):
    points = torch.rand(2, 6, generator=torch.Generator().manual_seed(0))
    found = move_onto_hyperplane(points, torch.zeros(2, 6), torch.tensor([1.0, -1.0]), norm)
    assert torch.equal(found, torch.zeros(2, 6))


# --- On linear models: the distance is known


def linear(classes, count=40):
    """A linear model, images that reach the ends of the pixel range, and their classes."""
    generator = torch.Generator().manual_seed(5)
    layer = nn.Linear(12, classes, dtype=torch.float64).requires_grad_(False)
    layer.weight.copy_(torch.randn(classes, 12, generator=generator, dtype=torch.float64))
    layer.bias.copy_(-layer.weight.sum(1) / 2)
    images = torch.rand(count, 1, 3, 4, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    images = images.clamp_(0, 1)
    model = nn.Sequential(nn.Flatten(), layer)
    return model, images, model(images).argmax(1)


def distances(model, images, labels, norm):
    """How far each image is from the nearest other class: the least over the rivals."""
    logits, weight = model(images).numpy(), model[1].weight.numpy()
    found = []
    for point, scores, label in zip(images.flatten(1).numpy(), logits, labels, strict=True):
        ways = []
        for rival in range(len(scores)):
            gradient, value = weight[rival] - weight[label], scores[rival] - scores[label]
            move = by_sorting(point, gradient, value, norm)
            if rival != label and value + gradient @ move > -1e-9:
                ways.append(np.abs(move).max() if norm == "linf" else np.linalg.norm(move))
        found.append(min(ways))
    return torch.tensor(found)


@pytest.mark.parametrize("norm", FAB)
@pytest.mark.parametrize(("classes", "count"), [(2, 15), (3, 10), (10, 5)])
def test_a_linear_model_is_fooled_from_the_exact_distance_on(norm, classes, count):
    model, images, labels = linear(classes, count)
    exact = distances(model, images, labels, norm)
    for image, label, distance in zip(images[:, None], labels[:, None], exact, strict=True):
        attacked = {
            part: FAB[norm](model, image, label, eps=part * float(distance), steps=12)
            for part in (0.999, 1.002)
        }
        assert torch.equal(attacked[0.999], image)
        assert fooled(model, attacked[1.002], label).all()
        reach = length(attacked[1.002] - image, norm)
        assert distance * 0.9999 <= reach <= distance * 1.002


class Rivals(nn.Module):
    """A first class, one that has nearly its logit but is far off, and one that is near."""

    def forward(self, images):
        x = images.flatten(1)
        far, near = 0.9 + 0.2 * (x[:, 0] - 0.5), 10 * (x[:, 1] - 0.5)
        return torch.stack([torch.ones_like(near), far, near], 1)


@pytest.mark.parametrize("norm", FAB)
def test_the_most_probable_rival_need_not_be_the_nearest(norm):
    images, labels = torch.full((1, 1, 1, 2), 0.5), torch.tensor([0])
    found = [
        FAB[norm](Rivals(), images, labels, eps=0.11, target_classes=count).flatten().tolist()
        for count in (1, 2, 100)
    ]
    assert found[0] == [0.5, 0.5]
    assert found[1] == found[2] == [0.5, pytest.approx(0.605, abs=0.005)]


class Dead(nn.Module):
    """Two classes; the second rises from some point on only, and has no gradient before."""

    def forward(self, images):
        rise = torch.relu(images.flatten(1)[:, 0] - 0.6)
        return torch.stack([torch.full_like(rise, 0.01), rise], 1)


@pytest.mark.parametrize("norm", FAB)
def test_a_restart_gets_away_from_where_there_is_no_gradient(norm):
    images, labels = torch.full((50, 1, 1, 2), 0.5), torch.zeros(50, dtype=torch.int64)

    def found(restarts, seed=0):
        generator = torch.Generator().manual_seed(seed)
        how = {"eps": 0.3, "steps": 5, "restarts": restarts, "generator": generator}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            before = torch.get_rng_state()
            made = FAB[norm](Dead(), images, labels, **how)
            assert torch.equal(torch.get_rng_state(), before)
        return made

    assert torch.equal(found(1), images)
    counts = [int(fooled(Dead(), found(n), labels).sum()) for n in (2, 4, 30)]
    assert 0 < counts[0] < counts[1] < counts[2]
    once, more = found(2), found(4)
    kept = fooled(Dead(), once, labels)
    assert torch.equal(more[kept], once[kept])
    assert torch.equal(found(4), more)
    assert not torch.equal(found(4, seed=1), more)


# --- On a trained model


def subject(trained, count=150):
    return trained.model, trained.images[:count], trained.labels[:count]


EPS = {"linf": 0.08, "l2": 0.4}


@pytest.mark.parametrize("norm", FAB)
def test_what_it_returns_is_misclassified_and_within_the_ball_or_the_image(trained, norm):
    model, images, labels = subject(trained)
    attacked = FAB[norm](model, images, labels, eps=EPS[norm], steps=20)
    moved = (attacked != images).flatten(1).any(1)
    assert (length(attacked - images, norm) <= EPS[norm]).all()
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert (clear_margin(model(attacked), labels) > 0)[moved].all()
    right = ~fooled(model, images, labels)
    assert not moved[~right].any()
    assert 0.2 < moved[right].double().mean() < 0.95


@pytest.mark.parametrize("norm", FAB)
def test_a_larger_budget_fools_all_that_a_smaller_one_does(trained, norm):
    given = subject(trained)
    wins = [
        fooled(
            given[0], FAB[norm](*given, eps=part * EPS[norm], steps=10, target_classes=3), given[2]
        )
        for part in (0.3, 0.6, 1, 2, 100 if norm == "l2" else 12.5)
    ]
    for less, more in pairwise(wins):
        assert not (less & ~more).any()
        assert less.sum() < more.sum() or more.all()
    assert wins[-1].all()


@pytest.mark.parametrize("norm", FAB)
def test_an_example_s_result_does_not_depend_on_the_batch(trained, norm):
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double().requires_grad_(False)
    model.load_state_dict(trained.model.state_dict())
    images, labels = trained.images[:30].double(), trained.labels[:30]
    how = {"eps": EPS[norm], "steps": 10}
    together = FAB[norm](model, images, labels, **how)
    alone = [FAB[norm](model, images[i : i + 1], labels[i : i + 1], **how) for i in range(30)]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-9, rtol=0)


class Counting(nn.Module):
    """A model that keeps how many images it is asked about at a time."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = []

    def forward(self, images):
        self.asked.append(len(images))
        return self.model(images)


def test_what_is_found_is_left_alone_and_nobody_asks_in_vain(trained):
    _, images, labels = subject(trained)
    model = Counting(trained.model)
    right = int((~fooled(trained.model, images, labels)).sum())
    fab(model, images, labels, eps=1, steps=50)
    assert model.asked[:3] == [150, right, right]
    # The gradient of a step is of as many as it is asked about after the step.
    assert model.asked[1::2] == model.asked[2::2]
    assert sum(model.asked) < 150 + 2 * 5 * right
    model.asked.clear()
    assert torch.equal(fab(model, images, labels, eps=0), images)
    assert not model.asked


def test_a_saturated_model_hides_nothing(trained):
    class Saturated(nn.Module):
        def forward(self, images):
            return trained.model(images) * 1e4

    given = subject(trained)
    plain, steep = (
        fooled(model, fab(model, *given[1:], eps=0.08, steps=20), given[2])
        for model in (trained.model, Saturated())
    )
    assert abs(int(plain.sum()) - int(steep.sum())) <= 1


class Bent(nn.Module):
    """The second class from x = 0.8 on; logits so large that its lead has to be 0.0003 to count."""

    def forward(self, images):
        lead = torch.log((images.flatten(1)[:, 0] + 0.1) / 0.9)
        return torch.stack([torch.zeros_like(lead), lead], 1) + 30


@pytest.mark.parametrize("norm", FAB)
def test_from_the_boundary_where_no_margin_counts_it_goes_on(norm):
    images, labels = torch.linspace(0.3, 0.79, 200).view(-1, 1, 1, 1), torch.zeros(200).long()
    assert fooled(Bent(), FAB[norm](Bent(), images, labels, eps=0.6), labels).all()


def test_where_there_is_no_gradient_the_images_come_back():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).requires_grad_(False)
    model[1].weight.zero_()
    images = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = model(images).argmax(1)
    for run in FAB.values():
        assert torch.equal(run(model, images, labels, eps=0.3, steps=3, restarts=2), images)


# --- The margin that counts


def test_a_clear_margin_is_a_margin_beyond_rounding():
    logits = torch.tensor([[1.0, 1.0], [1.0, 1.000009], [100.0, 100.0011], [1.0, 2.0], [3.0, 1.0]])
    labels = torch.zeros(5, dtype=torch.int64)
    assert (clear_margin(logits, labels) > 0).tolist() == [False, False, True, True, False]
    found = margin(logits, labels) - clear_margin(logits, labels)
    torch.testing.assert_close(found, logits.amax(1) * 1e-5, atol=1e-6, rtol=1e-3)
