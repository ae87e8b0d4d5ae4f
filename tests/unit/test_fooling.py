import math
from itertools import pairwise

import pytest
import torch
from epsigma.attacks.confidence import all_log_odds, log_odds
from epsigma.attacks.fooling import STARTS, fooling
from epsigma.attacks.fooling_evolution import fooling_evolution, polynomial_mutation
from epsigma.attacks.noise import fooling_noise
from epsigma.filters.gaussian import Gaussian
from epsigma.models.mlp import MLP
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn import functional

CLASSES = torch.arange(10)
TWICE = CLASSES.repeat(2)

# Every way to make fooling images, and what it is called with.
WAYS = {
    "noise": (fooling, {"start": "noise"}),
    "mean": (fooling, {"start": "mean"}),
    "evolution": (fooling_evolution, {}),
}
GRADIENT = [name for name, (run, _) in WAYS.items() if run is fooling]


def make(way, model, images, labels, *, confidence=0.99, seed=0, **parameters):
    run, fixed = WAYS[way]
    generator = torch.Generator().manual_seed(seed)
    parameters = {**fixed, **parameters}
    return run(model, images, labels, confidence=confidence, generator=generator, **parameters)


def confidences(model, images, labels):
    """Softmax probability of each row's class."""
    return model(images).softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)


class Scaled(nn.Module):
    """A model whose logits are multiplied, as defensive distillation does."""

    def __init__(self, model, factor):
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, images):
        return self.model(images) * self.factor


class Dead(nn.Module):
    """A model that answers in all but dark images, or bright ones, always the same."""

    def __init__(self, model, *, dark):
        super().__init__()
        self.model, self.dark = model, dark

    def forward(self, images):
        level = images.mean((1, 2, 3))
        alive = functional.relu(0.35 - level if self.dark else level - 0.65)
        return self.model(images) * 100 * alive[:, None]


class Black(nn.Module):
    """A model without gradient: it sees pixels only as black or white."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images.round())


def ridge():
    """Two classes, and their optimum is half way: beyond it the first one's odds fall again."""

    class Ridge(nn.Module):
        def forward(self, images):
            height = 2 - 4 * (images.flatten(1) - 0.5).abs().mean(1)
            return torch.stack([height, torch.zeros_like(height)], 1)

    return Ridge()


# --- What both must hold


@pytest.mark.parametrize("way", WAYS)
def test_every_class_is_reached(trained, way):
    found = make(way, trained.model, trained.images, TWICE)
    assert (found.shape, found.dtype) == ((20, 1, 8, 8), torch.float32)
    assert found.min() >= 0
    assert found.max() <= 1
    assert confidences(trained.model, found, TWICE).min() >= 0.99


@pytest.mark.parametrize("way", ["noise", "evolution"])
def test_what_comes_of_noise_looks_like_nothing_in_the_data_set(trained, way):
    found = make(way, trained.model, trained.images, TWICE)
    distance = torch.cdist(found.flatten(1), trained.images.flatten(1)).amin(1)
    apart = torch.cdist(trained.images.flatten(1), trained.images.flatten(1))
    nearest = apart.fill_diagonal_(torch.inf).amin(1)
    assert distance.min() > nearest.median()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.999])
def test_the_confidence_asked_for_is_reached_and_not_passed_by_much(trained, way, confidence):
    found = make(way, trained.model, trained.images, CLASSES, confidence=confidence)
    reached = confidences(trained.model, found, CLASSES)
    assert reached.min() >= confidence
    # In the middle: one step, or one generation, may go far.
    assert reached.median() < confidence + 0.7 * (1 - confidence)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("confidence", [0.9, 0.99999, 1 - 1e-7])
def test_the_confidence_holds_in_every_batch_size(trained, way, confidence):
    model = Scaled(trained.model, 3)
    found = make(way, model, trained.images, TWICE, confidence=confidence)
    for batch in (1, 3, 20):
        parts = zip(found.split(batch), TWICE.split(batch), strict=True)
        scored = torch.cat([confidences(model, *part) for part in parts])
        assert scored.double().min() >= torch.tensor(confidence)


@pytest.mark.parametrize("way", WAYS)
def test_rows_of_one_class_are_images_of_their_own(trained, way):
    labels = torch.tensor([3, 3, 7, 3, 3])
    found = make(way, trained.model, trained.images, labels)
    assert confidences(trained.model, found, labels).min() >= 0.99
    distance = torch.cdist(found.flatten(1), found.flatten(1))
    assert distance.fill_diagonal_(torch.inf).min() > 0.1


@pytest.mark.parametrize("way", WAYS)
def test_it_draws_from_its_generator_and_from_nothing_else(trained, way):
    def run(seed, world):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(world)
            found = make(way, trained.model, trained.images, TWICE, confidence=0.9, seed=seed)
            assert torch.initial_seed() == world
        return found

    assert torch.equal(run(seed=1, world=1), run(seed=1, world=2))
    assert not torch.equal(run(seed=1, world=1), run(seed=2, world=1))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_given_is_not_modified(trained, way):
    images, labels = trained.images.clone(), TWICE.clone()
    found = make(way, trained.model, images, labels, confidence=0.9)
    assert torch.equal(images, trained.images)
    assert torch.equal(labels, TWICE)
    assert not images.requires_grad
    assert not found.requires_grad
    assert all(parameter.grad is None for parameter in trained.model.parameters())


@pytest.mark.parametrize("way", WAYS)
def test_whoever_knows_the_filter_fools_the_model_behind_it(trained, way):
    # Filters smear the noise that fools the bare model.
    model = nn.Sequential(Gaussian(sigma=0.7), trained.model)
    unaware = make(way, trained.model, trained.images, TWICE)
    assert confidences(model, unaware, TWICE).min() < 0.9
    aware = make(way, model, trained.images, TWICE)
    assert confidences(model, aware, TWICE).min() >= 0.99


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("factor", [1e4, 1e-1])
def test_what_saturation_or_its_opposite_leave_is_the_most_confident_image(trained, way, factor):
    model = Scaled(trained.model, factor)
    confidence = 0.99 if factor > 1 else 0.3
    found = make(way, model, trained.images, CLASSES, confidence=confidence)
    assert confidences(model, found, CLASSES).min() >= confidence


@pytest.mark.parametrize("way", WAYS)
def test_colour_images_of_any_shape_are_made(way):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Scaled(MLP((3, 5, 4), 4, hidden=16).requires_grad_(False), 10)
    labels = torch.tensor([2, 0, 3, 1, 1])
    found = make(way, model, torch.rand(6, 3, 5, 4), labels, confidence=0.6)
    assert found.shape == (5, 3, 5, 4)
    assert confidences(model, found, labels).min() >= 0.6


@pytest.mark.parametrize("way", WAYS)
def test_no_row_asked_for_is_no_row_made(trained, way):
    found = make(way, trained.model, trained.images, CLASSES[:0])
    assert found.shape == (0, 1, 8, 8)


@pytest.mark.parametrize("way", WAYS)
def test_the_loss_falls_and_rows_that_are_done_leave(trained, way):
    heard = []
    found = make(way, trained.model, trained.images, CLASSES, on_step=heard.append)
    assert confidences(trained.model, found, CLASSES).min() >= 0.99
    assert not any(loss.requires_grad for loss in heard)
    # Rows get fewer, and none is worked on that is confident enough.
    assert all(len(one) >= len(other) > 0 for one, other in pairwise(heard))
    assert len(heard[-1]) < len(heard[0]) > 5
    assert all(loss.min() > -math.log(0.991) for loss in heard)
    worst = torch.stack([loss.max() for loss in heard])
    assert worst[-1] < worst[len(worst) // 2] < worst[0]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_heard_is_minus_log_p_of_the_rows(trained, way):
    heard = []
    model = Scaled(trained.model, 1e3)
    # What the start is least of all.
    label = model(torch.full((1, 1, 8, 8), 0.5)).argmin(1)
    budget = {"generations": 3} if way == "evolution" else {"steps": 3}
    found = make(way, model, trained.images, label, on_step=heard.append, **budget)
    if way != "evolution":
        start = STARTS[way](trained.images, label, torch.Generator().manual_seed(0))
        expected = functional.cross_entropy(model(start), label, reduction="none")
        torch.testing.assert_close(heard[0], expected)
    after = functional.cross_entropy(model(found), label, reduction="none")
    assert 1 <= len(heard) <= 3
    assert after.item() <= min(loss.item() for loss in heard)


BUDGETS = {"noise": "steps", "mean": "steps", "evolution": "generations"}


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_does_not_get_there_comes_back_as_its_best(trained, way):
    images = torch.full((1, 1, 8, 8), 0.47)
    model = ridge()
    label = torch.tensor([0])
    reached = [
        confidences(
            model, make(way, model, images, label, confidence=0.95, **{BUDGETS[way]: n}), label
        ).item()
        for n in (1, 2, 3, 4, 5, 6, 60, 61, 62, 63)
    ]
    # More effort is never worse, though steps go beyond the optimum and back.
    assert all(less <= more for less, more in pairwise(reached))
    assert reached[-1] > reached[0]
    assert reached[-1] < 0.95


@pytest.mark.parametrize("way", WAYS)
def test_the_work_ends_with_the_budget(trained, way):
    heard = []
    model = Scaled(trained.model, 1e-3)
    budget = {BUDGETS[way]: 7}
    make(way, model, trained.images, TWICE, on_step=heard.append, **budget)
    assert [len(loss) for loss in heard] == [20] * 7


REFUSED = [
    *(
        (way, {"confidence": value}, r"confidence = .* is outside \(0, 1\)")
        for way in ("noise", "evolution")
        for value in (0, 1, -0.1, 1.1, math.nan)
    ),
    ("noise", {"start": "zero"}, "start = 'zero' is none of noise, mean"),
    ("noise", {"steps": 0}, "steps = 0 is less than 1"),
    *(
        ("noise", {"learning_rate": rate}, "learning_rate = .* is not positive and finite")
        for rate in (0, -1, math.inf, math.nan)
    ),
    ("evolution", {"generations": 0}, "generations = 0 and .* at least 1"),
    ("evolution", {"offspring": 0}, "offspring = 0 must be at least 1"),
    *(
        ("evolution", {"mutation_rate": rate}, r"mutation_rate = .* is outside \(0, 1\]")
        for rate in (0, 1.1, math.nan)
    ),
    *(
        ("evolution", {"mutation_strength": strength}, "mutation_strength = .* is no finite")
        for strength in (-1, math.inf, math.nan)
    ),
]


@pytest.mark.parametrize(("way", "parameters", "said"), REFUSED)
def test_an_argument_out_of_range_is_refused(trained, way, parameters, said):
    with pytest.raises(ValueError, match=said):
        make(way, trained.model, trained.images, CLASSES, **parameters)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("labels", [[-1, 3], [0, 10]])
def test_a_class_that_the_model_does_not_know_is_refused(trained, way, labels):
    with pytest.raises(ValueError, match=r"labels hold (-1|10), .* 10 classes, 0 to 9"):
        make(way, trained.model, trained.images, torch.tensor(labels))


@pytest.mark.parametrize("way", WAYS)
def test_without_images_there_is_no_shape(trained, way):
    with pytest.raises(ValueError, match="images are none"):
        make(way, trained.model, trained.images[:0], CLASSES)


# --- By gradient


def test_the_start_mean_is_the_mean_with_noise_where_classes_repeat(trained):
    mean = trained.images.mean(0)
    labels = torch.tensor([5, 1, 5, 2])
    found = STARTS["mean"](trained.images, labels, torch.Generator().manual_seed(0))
    assert torch.equal(found[1], mean)
    assert torch.equal(found[3], mean)
    assert not torch.equal(found[0], found[2])
    for row in found[[0, 2]]:
        assert 0.04 < (row - mean).abs().max() <= 0.05 + 1e-6
    assert found.min() >= 0


def test_the_start_noise_is_uniform_in_the_pixel_range(trained):
    found = STARTS["noise"](trained.images, TWICE, torch.Generator().manual_seed(0))
    assert stats.kstest(found.flatten().numpy(), "uniform").pvalue > 0.01


def test_from_the_mean_the_order_of_the_rows_and_of_the_images_changes_nothing(trained):
    # In double precision: rounding differs with the batch.
    with torch.random.fork_rng(devices=[]):
        model = MLP((1, 8, 8), 10, hidden=32).double().requires_grad_(False)
    model.load_state_dict(trained.model.state_dict())
    images = trained.images.double()
    order = torch.tensor([3, 8, 0, 9, 1, 7, 2, 6, 4, 5])
    together = make("mean", model, images, CLASSES)
    torch.testing.assert_close(make("mean", model, images.flip(0), order), together[order])
    for label in CLASSES:
        alone = make("mean", model, images, label[None])
        torch.testing.assert_close(alone, together[label][None])


def test_a_step_has_the_length_of_the_learning_rate_and_goes_uphill(trained):
    for rate in (0.01, 0.2):
        one = make("mean", trained.model, trained.images, CLASSES, steps=1, learning_rate=rate)
        moved = (one - trained.images.mean(0)).flatten(1).norm(dim=1)
        assert moved.max() <= rate * (1 + 1e-4)
        assert moved.median() > 0.9 * rate
        before = trained.model(trained.images.mean(0, keepdim=True)).log_softmax(1)[0]
        assert (confidences(trained.model, one, CLASSES).log() > before).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_pixels_that_would_leave_their_range_take_nothing_of_a_step(trained, level):
    images = torch.full_like(trained.images[:1], level)
    # Duller, so that no class is reached from the start.
    model = Scaled(trained.model, 0.1)
    one = make("mean", model, images, CLASSES, steps=1, learning_rate=0.2)
    moved = (one - images).flatten(1)
    torch.testing.assert_close(moved.norm(dim=1), torch.full((10,), 0.2))
    assert ((moved == 0).sum(1) > 5).all()


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("start", STARTS)
def test_a_start_without_gradient_is_left(trained, start, dark):
    model = Dead(trained.model, dark=dark)
    grey = torch.full_like(trained.images[:1], 0.5)
    for images in (grey, STARTS["noise"](grey, CLASSES, torch.Generator().manual_seed(0))):
        assert (model(images) == 0).all()
    found = make(start, model, grey, TWICE, confidence=0.9)
    assert confidences(model, found, TWICE).min() >= 0.9


def test_gradients_are_made_where_the_caller_wants_none(trained):
    expected = make("noise", trained.model, trained.images, CLASSES)
    with torch.no_grad():
        found = make("noise", trained.model, trained.images, CLASSES)
        assert not torch.is_grad_enabled()
    assert torch.equal(found, expected)


# --- By evolution


def test_evolution_needs_no_gradient(trained):
    model = Black(trained.model)
    found = make("evolution", model, trained.images, CLASSES)
    assert confidences(model, found, CLASSES).min() >= 0.99


def test_evolution_never_asks_for_a_gradient(trained):
    asked = []

    class Watched(nn.Module):
        def forward(self, images):
            asked.append(images.requires_grad or torch.is_grad_enabled())
            return trained.model(images)

    make("evolution", Watched(), trained.images, CLASSES, generations=5)
    assert asked
    assert not any(asked)


def test_the_images_of_evolution_depend_on_the_shape_of_the_data_only(trained):
    one = make("evolution", trained.model, trained.images, CLASSES, confidence=0.9)
    other = make("evolution", trained.model, 1 - trained.images[:3], CLASSES, confidence=0.9)
    assert torch.equal(one, other)


def test_an_elite_is_replaced_only_by_a_better_one(trained):
    heard = []
    make("evolution", trained.model, trained.images, TWICE, on_step=heard.append, generations=30)
    same = [(one, other) for one, other in pairwise(heard) if len(one) == len(other)]
    assert len(same) > 10
    assert all((other <= one + 1e-5).all() for one, other in same)


def test_a_class_inherits_from_the_elites_of_others(trained):
    # With one class to aim at, a population still keeps all: the same ancestors, the same image.
    alone = make("evolution", trained.model, trained.images, CLASSES[:1], generations=9)
    together = make("evolution", trained.model, trained.images, CLASSES, generations=9)
    assert torch.equal(alone[0], together[0])


# --- Mutation


def mutated(x, rate, strength, seed=0):
    return polynomial_mutation(x.clone(), rate, strength, torch.Generator().manual_seed(seed))


@given(
    st.floats(0, 1),
    st.floats(0, 100),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_a_mutant_stays_in_the_pixel_range(rate, strength, value, seed):
    found = mutated(torch.full((3, 1, 4, 4), value), rate, strength, seed)
    assert found.isfinite().all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("rate", [0, 0.0125, 0.1, 0.5, 1])
def test_the_share_of_mutated_pixels_is_the_rate(rate):
    x = torch.full((100_000,), 0.5)
    count = int((mutated(x, rate, 15) != x).sum())
    # A move of 0 is possible, and next to never.
    deviation = math.sqrt(len(x) * rate * (1 - rate))
    assert abs(count - len(x) * rate) <= 4 * deviation + 5


@pytest.mark.parametrize("rate", [0.1, 1])
@pytest.mark.parametrize("strength", [5, 15, 60])
def test_the_moves_have_deb_s_distribution(strength, rate):
    # At a point so far inside that clipping hardly happens: in double precision, for the test's.
    x = torch.full((200_000,), 0.5, dtype=torch.float64)
    moved = mutated(x, rate, strength) - x
    delta = moved[moved != 0].numpy()
    delta = delta[abs(delta) < 0.5]

    def distribution(d):
        """∫ (η + 1)(1 − |δ|)^η / 2, given |δ| < 1/2."""
        half = (1 - (1 - abs(d)) ** (strength + 1)) / (1 - 0.5 ** (strength + 1)) / 2
        return 0.5 + (d > 0) * half - (d < 0) * half

    assert stats.kstest(delta, distribution).pvalue > 0.001
    assert stats.binomtest(int((delta > 0).sum()), len(delta)).pvalue > 0.001
    if strength >= 15:
        assert abs(delta).mean() == pytest.approx(1 / (strength + 2), rel=0.02)


@pytest.mark.parametrize(("value", "end"), [(0.0, 0.0), (1.0, 1.0)])
def test_at_the_end_of_its_range_half_of_the_moves_are_cut_off(value, end):
    found = mutated(torch.full((10_000,), value), 1, 15)
    assert (found == end).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_the_mutation_is_in_place_and_drawn_from_the_generator():
    x = torch.full((50,), 0.5)
    assert polynomial_mutation(x, 0.5, 15, torch.Generator().manual_seed(3)) is x
    assert torch.equal(x, mutated(torch.full((50,), 0.5), 0.5, 15, seed=3))
    assert not torch.equal(x, mutated(torch.full((50,), 0.5), 0.5, 15, seed=4))


def test_the_rate_is_halved_after_a_thousand_generations(monkeypatch):
    rates = []

    def watched(x, rate, strength, generator):
        rates.append((rate, strength))
        return x

    monkeypatch.setattr("epsigma.attacks.fooling_evolution.polynomial_mutation", watched)
    images, label = torch.zeros(1, 1, 2, 2), torch.tensor([0])
    make("evolution", ridge(), images, label, generations=2001, offspring=1, mutation_strength=7)
    assert rates[:1000] == [(0.1, 7)] * 1000
    assert rates[1000:2000] == [(0.05, 7)] * 1000
    assert rates[2000:] == [(0.025, 7)]


# --- Log-odds


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6), st.integers(0, 5))
def test_the_log_odds_are_those_of_the_probability_and_never_too_high(logits, label):
    label %= len(logits)
    single = torch.tensor([logits])
    weights = single[0].double().exp().tolist()
    expected = math.log(weights[label]) - math.log(sum(weights[:label] + weights[label + 1 :]))
    found = log_odds(single, torch.tensor([label])).item()
    assert found == pytest.approx(expected, abs=1e-3)
    assert found <= expected + 2e-5
    assert all_log_odds(single)[0, label].item() == pytest.approx(found, abs=2e-5)


def test_log_odds_tell_apart_what_softmax_rounds_to_0_and_1():
    logits = torch.tensor([[200.0, 0.0], [300.0, 0.0]])
    assert (logits.softmax(1) == torch.tensor([1.0, 0.0])).all()
    low, high = all_log_odds(logits)
    assert high[0] > low[0] + 90
    assert high[1] < low[1] - 90


def test_noise_alone_is_uniform_and_knows_no_class():
    labels = torch.arange(10).repeat(20)
    images = torch.zeros(3, 1, 8, 8)
    noise = fooling_noise(
        None, images, labels, confidence=0.9, generator=torch.Generator().manual_seed(0)
    )
    assert noise.shape == (200, 1, 8, 8)
    histogram = torch.histc(noise, bins=10, min=0, max=1) / noise.numel()
    torch.testing.assert_close(histogram, torch.full((10,), 0.1), atol=0.01, rtol=0)
