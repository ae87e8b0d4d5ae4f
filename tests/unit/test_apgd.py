import math
from itertools import pairwise

import pytest
import torch
from epsigma.attacks.apgd import apgd, apgd_l2, checkpoints
from epsigma.attacks.balls import L2, LINF
from epsigma.attacks.gradient import input_gradient
from epsigma.attacks.losses import (
    LOSSES,
    dlr,
    margin,
    targeted_dlr,
    targeted_margin,
)
from epsigma.attacks.pgd import pgd, pgd_l2
from epsigma.defence import defend
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.noise import GaussianNoise
from epsigma.models.mlp import MLP
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

APGD = {"linf": apgd, "l2": apgd_l2}
BALLS = {"linf": LINF, "l2": L2}
EPS = {"linf": 0.06, "l2": 0.4}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(classes, *, bias=0.0, features=12):
    """A linear model in double precision, whose class 0 leads by `bias`; its matrix."""
    layer = nn.Linear(features, classes, dtype=torch.float64).requires_grad_(False)
    layer.weight.copy_(torch.randn(classes, features, generator=seeded(1), dtype=torch.float64))
    layer.bias.zero_()[0] = bias
    return nn.Sequential(nn.Flatten(), layer), layer.weight


def fooled(model, images, labels):
    return model(images).argmax(1) != labels


def in_double(trained):
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double().requires_grad_(False)
    model.load_state_dict(trained.model.state_dict())
    return model, trained.images.double(), trained.labels


class Counting(nn.Module):
    """A model that keeps how many images it is asked about at a time."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.asked = []

    def forward(self, images):
        self.asked.append(len(images))
        return self.model(images)


# --- The losses


def test_the_dlr_losses_are_their_formulas():
    logits, labels = torch.tensor([[1.0, 4, 2, 8, 3]]), torch.tensor([3])
    # Right: (4 - 8) over 8 - 3; towards 2: (2 - 8) over 8 - (3 + 2) / 2.
    assert dlr(logits, labels).item() == pytest.approx(-4 / 5)
    assert targeted_dlr(logits, labels, torch.tensor([2])).item() == pytest.approx(-6 / 5.5)
    assert targeted_margin(logits, labels, torch.tensor([2])).item() == -6
    # Misclassified, and as the target: above 0.
    labels = torch.tensor([1])
    assert dlr(logits, labels).item() == pytest.approx(4 / 5)
    assert targeted_dlr(logits, labels, torch.tensor([3])).item() == pytest.approx(4 / 5.5)


def test_without_targets_the_most_probable_wrong_class_is_aimed_at():
    logits = torch.randn(30, 6, generator=seeded())
    labels = torch.arange(30) % 6
    rival = logits.scatter(1, labels[:, None], -torch.inf).argmax(1)
    assert torch.equal(targeted_dlr(logits, labels, None), targeted_dlr(logits, labels, rival))
    torch.testing.assert_close(targeted_margin(logits, labels, None), margin(logits, labels))


@given(
    st.lists(st.floats(-20, 20), min_size=4, max_size=7, unique=True),
    st.floats(0.1, 100),
    st.floats(-50, 50),
)
def test_the_dlr_losses_do_not_change_when_logits_are_scaled_and_shifted(values, scale, shift):
    logits, labels = torch.tensor([values], dtype=torch.float64), torch.tensor([0])
    ordered = logits.sort(1).values[0]
    if (ordered[-1] - ordered[-3]) < 1e-3:
        return
    other = logits * scale + shift
    torch.testing.assert_close(dlr(other, labels), dlr(logits, labels))
    aimed = torch.tensor([1])
    found = targeted_dlr(other, labels, aimed)
    torch.testing.assert_close(found, targeted_dlr(logits, labels, aimed))


@pytest.mark.parametrize("loss", ["dlr", "targeted_dlr"])
def test_logits_that_all_are_equal_give_neither_nan_nor_infinity(loss):
    layer = nn.Linear(4, 5, bias=False).requires_grad_(False)
    layer.weight.copy_(torch.ones(5, 4))
    images, labels = torch.rand(3, 1, 2, 2, generator=seeded()), torch.tensor([0, 1, 2])
    gradient, _ = input_gradient(nn.Sequential(nn.Flatten(), layer), images, labels, loss)
    assert gradient.isfinite().all()
    for attack in APGD.values():
        found = attack(nn.Sequential(nn.Flatten(), layer), images, labels, eps=0.1, loss=loss)
        assert found.isfinite().all()


@pytest.mark.parametrize("attack", APGD.values())
@pytest.mark.parametrize(
    ("loss", "classes"), [("dlr", 2), ("targeted_dlr", 2), ("targeted_dlr", 3)]
)
def test_the_dlr_losses_refuse_too_few_classes(attack, loss, classes):
    model, _ = linear(classes)
    images = torch.full((3, 1, 3, 4), 0.5, dtype=torch.float64)
    model = Counting(model)
    said = f"the loss {loss} divides .* there are {classes} classes: take cross_entropy or margin"
    with pytest.raises(ValueError, match=said):
        attack(model, images, torch.tensor([0, 1, 0]), eps=0.1, loss=loss)
    # Before any step is made.
    assert len(model.asked) == 1


# --- The schedule


def test_steps_are_reviewed_where_the_paper_says():
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(50)) == [11, 21, 29, 35, 40, 44, 47, 50]
    assert all(0 < at <= steps for steps in range(1, 60) for at in checkpoints(steps))


def by_the_paper(model, image, label, start, *, eps, ball, loss, steps):
    """Algorithm 1, of one example, word for word; returns the points and their losses."""
    project, function = ball.projection(image, eps), LOSSES[loss]

    def f(x):
        return function(model(x), label).item()

    def ascend(x, step):
        gradient, _ = input_gradient(model, x, label, loss)
        return project(x + step * ball.direction(gradient))

    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    reviews = [math.ceil(round(share * steps, 9)) for share in shares]
    step, points, values = 2 * eps, [start], [f(start)]
    points.append(ascend(start, step))
    values.append(f(points[1]))
    seen = list(zip(points, values, strict=True))
    # What a step starts from, and its loss: the last point, or, after a review, the best.
    x, value, rose = points[1], values[1], [values[1] > values[0]]
    before, sizes, bests = start, [step], [-math.inf]
    for k in range(1, steps + 1):
        if k in reviews[1:]:
            j = reviews.index(k)
            best_x, best = max(seen, key=lambda one: one[1])
            few = sum(rose[reviews[j - 1] : k]) < 0.75 * (k - reviews[j - 1])
            same = len(sizes) > 1 and sizes[-1] == sizes[-2] and bests[-1] == best
            if few or same:
                step, x, value = step / 2, best_x, best
            sizes.append(step)
            bests.append(best)
        if k == steps:
            break
        z = ascend(x, step)
        new = project(x + 0.75 * (z - x) + 0.25 * (x - before))
        before, x = x, new
        rose.append(f(new) > value)
        value = f(new)
        seen.append((new, value))
    return seen


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("norm", APGD)
@pytest.mark.parametrize("steps", [1, 9, 50])
def test_the_ascent_is_the_paper_s_algorithm(trained, norm, loss, steps):
    model, images, labels = in_double(trained)
    right = ~fooled(model, images, labels)
    images, labels = images[right][:12], labels[right][:12]
    how = {"eps": EPS[norm], "steps": steps, "loss": loss}
    found = APGD[norm](model, images, labels, early_stop=False, generator=seeded(), **how)
    starts = BALLS[norm].start(torch.empty_like(images), EPS[norm], seeded())
    starts = starts.add_(images).clamp_(0, 1)
    won = 0
    for i in range(len(images)):
        one, label = images[i : i + 1], labels[i : i + 1]
        seen = by_the_paper(model, one, label, starts[i : i + 1], ball=BALLS[norm], **how)
        wins = [(x, value) for x, value in seen if fooled(model, x, label).item()]
        expected, _ = max(wins or seen, key=lambda one: one[1])
        torch.testing.assert_close(found[i : i + 1], expected, atol=1e-9, rtol=0)
        won += bool(wins)
    # Some are fooled and some are not.
    assert 0 < won < len(images) or steps == 1


class Ridge(nn.Module):
    """Safe everywhere, least where the first pixel is 0.5: the first step jumps over that."""

    def forward(self, images):
        lead = -1 - 100 * (images.flatten(1)[:, 0] - 0.5) ** 2
        return torch.stack([torch.zeros_like(lead), lead, lead - 5], 1)


@pytest.mark.parametrize("steps", [4, 9])
def test_the_start_is_no_step_that_raised_the_loss(steps):
    images = torch.full((6, 1, 1, 1), 0.5, dtype=torch.float64)
    labels = torch.zeros(6, dtype=torch.int64)
    how = {"eps": 0.1, "steps": steps, "loss": "margin"}
    found = apgd(Ridge(), images, labels, generator=seeded(), **how)
    starts = LINF.start(torch.empty_like(images), 0.1, seeded()).add_(images)
    for i in range(len(images)):
        of = images[i : i + 1], labels[i : i + 1], starts[i : i + 1]
        expected, _ = max(by_the_paper(Ridge(), *of, ball=LINF, **how), key=lambda one: one[1])
        torch.testing.assert_close(found[i : i + 1], expected, atol=1e-9, rtol=0)


# --- The optimum of linear models


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
@pytest.mark.parametrize("label", [0, 1])
def test_of_a_linear_model_of_two_classes_the_corner_of_the_box_is_reached(loss, label):
    model, weight = linear(2, bias=20.0 if label == 0 else -20.0)
    images = torch.rand(20, 1, 3, 4, generator=seeded(), dtype=torch.float64)
    labels = torch.full((20,), label)
    uphill = (weight[1 - label] - weight[label]).sign().view(1, 1, 3, 4)
    found = apgd(model, images, labels, eps=0.2, loss=loss, generator=seeded())
    torch.testing.assert_close(found, (images + 0.2 * uphill).clamp(0, 1))


def test_of_a_linear_model_the_end_of_the_ball_is_reached_in_l2():
    model, weight = linear(2, bias=100.0)
    images = torch.full((5, 1, 3, 4), 0.5, dtype=torch.float64)
    labels = torch.zeros(5, dtype=torch.int64)
    uphill = (weight[1] - weight[0]).view(1, 1, 3, 4)
    found = apgd_l2(model, images, labels, eps=0.4, loss="margin", generator=seeded())
    expected = images + 0.4 * uphill / torch.linalg.vector_norm(uphill)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


# --- What is promised


@given(
    norm=st.sampled_from(sorted(APGD)),
    eps=st.floats(0, 1),
    steps=st.integers(1, 12),
    restarts=st.integers(1, 2),
    early_stop=st.booleans(),
    loss=st.sampled_from([*LOSSES, "targeted_dlr", "targeted_margin"]),
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(1, 5, 4), (3, 2, 2)]),
    n=st.sampled_from([1, 6]),
)
def test_apgd_stays_in_its_ball_and_in_the_pixel_range(norm, eps, seed, shape, n, **how):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP(shape, 4, hidden=5)
        images = (torch.rand(n, *shape) * 1.5 - 0.25).clamp_(0, 1)
        labels = torch.randint(4, (n,))
    attacked = APGD[norm](model, images, labels, eps=eps, generator=seeded(seed), **how)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    delta = (attacked - images).flatten(1)
    reach = delta.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(delta, dim=1)
    assert reach.max() <= eps * (1 + 1e-5) + 1e-6
    wrong = fooled(model, images, labels)
    assert torch.equal(attacked[wrong], images[wrong])


@pytest.mark.parametrize("loss", [*LOSSES, "targeted_dlr"])
@pytest.mark.parametrize("norm", APGD)
def test_an_example_that_is_fooled_is_not_asked_about_again(trained, norm, loss):
    model = Counting(trained.model)
    how = {"eps": 2 * EPS[norm], "steps": 20, "loss": loss, "target_classes": 1}
    found = APGD[norm](model, trained.images, trained.labels, generator=seeded(), **how)
    clean, *asked = model.asked
    assert clean == len(trained.images)
    assert len(asked) == 21
    assert asked[0] == (~fooled(trained.model, trained.images, trained.labels)).sum()
    assert all(more >= less for more, less in pairwise(asked))
    left = (~fooled(trained.model, found, trained.labels)).sum()
    assert left <= asked[-1] < asked[0] / 2


def test_apgd_ends_when_all_are_fooled(trained):
    model = Counting(trained.model)
    found = apgd(model, trained.images, trained.labels, eps=1, restarts=5)
    assert fooled(trained.model, found, trained.labels).all()
    assert len(model.asked) < 40


@pytest.mark.parametrize("norm", APGD)
def test_restarts_are_made_of_what_is_left_and_lose_no_success(trained, norm):
    given = in_double(trained)

    def wins(restarts):
        how = {"eps": EPS[norm], "steps": 3, "restarts": restarts, "generator": seeded()}
        return fooled(given[0], APGD[norm](*given, **how), given[2])

    rates = [wins(restarts) for restarts in (1, 2, 6)]
    assert all((less <= more).all() for less, more in pairwise(rates))
    assert rates[0].sum() < rates[-1].sum()


class Firm(nn.Module):
    """A linear model of so many classes that takes everything for class 0."""

    def __init__(self, classes):
        super().__init__()
        self.layer, _ = linear(classes, bias=100.0)

    def forward(self, images):
        return self.layer(images)


@pytest.mark.parametrize(("classes", "target_classes", "runs"), [(4, 9, 3), (5, 2, 2), (12, 9, 9)])
def test_at_most_all_wrong_classes_are_aimed_at(classes, target_classes, runs):
    model = Counting(Firm(classes))
    images = torch.rand(4, 1, 3, 4, generator=seeded(), dtype=torch.float64)
    labels = torch.zeros(4, dtype=torch.int64)
    how = {"eps": 0.1, "steps": 5, "loss": "targeted_dlr", "target_classes": target_classes}
    apgd(model, images, labels, restarts=2, **how)
    assert len(model.asked) == 1 + 2 * runs * 6


def test_the_targets_are_the_most_probable_wrong_classes_in_turn():
    model, weight = linear(6, bias=100.0)
    images = torch.full((1, 1, 3, 4), 0.5, dtype=torch.float64)
    labels = torch.zeros(1, dtype=torch.int64)
    first = model(images)[0, 1:].argsort(descending=True) + 1
    corners = [0.5 + 0.1 * (weight[t] - weight[0]).sign() for t in first.tolist()]
    ends = []
    for count in range(1, 6):
        seen = []

        def note(losses, seen=seen):
            seen.append(losses.item())

        how = {"loss": "targeted_margin", "target_classes": count, "steps": 40}
        apgd(model, images, labels, eps=0.1, on_step=note, generator=seeded(), **how)
        assert len(seen) == 41 * count
        ends.append(max(seen[-41:]))
    aimed = [
        (model(corner.view(1, 1, 3, 4))[0, t] - model(corner.view(1, 1, 3, 4))[0, 0]).item()
        for corner, t in zip(corners, first.tolist(), strict=True)
    ]
    assert ends == pytest.approx(aimed)


@pytest.mark.parametrize(("norm", "other"), [("linf", pgd), ("l2", pgd_l2)])
def test_apgd_fools_no_fewer_than_pgd(trained, norm, other):
    given = trained.model, trained.images, trained.labels
    how = {"eps": EPS[norm], "loss": "margin", "generator": seeded()}
    ours, theirs = APGD[norm](*given, **how), other(*given, steps=40, **how)
    wins = [fooled(trained.model, found, trained.labels).sum() for found in (ours, theirs)]
    assert wins[0] >= wins[1]


def test_saturated_probabilities_hide_nothing_from_the_dlr_loss(trained):
    class Saturated(nn.Module):
        def forward(self, images):
            return trained.model(images) * 1e4

    model = Saturated()

    def left(loss):
        how = {"eps": 0.06, "steps": 20, "loss": loss, "generator": seeded()}
        found = apgd(model, trained.images, trained.labels, **how)
        return (~fooled(model, found, trained.labels)).double().mean()

    assert left("dlr") < left("cross_entropy") - 0.2
    assert left("targeted_dlr") <= left("dlr") + 0.01


def test_an_aware_attacker_follows_a_surrogate_gradient(trained):
    model = defend(BitDepth(bits=2), trained.model, gradient="bpda")
    given = trained.images, trained.labels
    blind = apgd(trained.model, *given, eps=0.1, generator=seeded(), early_stop=False)
    aware = apgd(model, *given, eps=0.1, generator=seeded())
    wins = [fooled(model, images, trained.labels).double().mean() for images in (blind, aware)]
    assert wins[1] > wins[0]
    assert wins[1] > fooled(model, *given).double().mean() + 0.2


def test_against_a_filter_that_draws_all_steps_are_worth_more_than_the_first_success(trained):
    noise = GaussianNoise(std=0.2, generator=seeded())
    model = defend(noise, trained.model, gradient="exact", eot_samples=5)
    once = nn.Sequential(noise, trained.model)
    wins = []
    for early_stop in (True, False):
        how = {"eps": 0.06, "steps": 20, "early_stop": early_stop, "generator": seeded()}
        found = apgd(model, trained.images, trained.labels, **how)
        draws = [fooled(once, found, trained.labels).double().mean() for _ in range(30)]
        wins.append(sum(draws) / len(draws))
    assert wins[1] > wins[0] + 0.01
