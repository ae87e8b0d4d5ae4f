"""Exact answers about small networks, against the enumeration of all activation patterns."""

import copy
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from epsigma.attacks.pgd import pgd
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.none import Identity
from epsigma.models.softmax import Softmax
from epsigma.proofs import exact
from epsigma.proofs.crown import bound_units, certify, difference_rows, make_region
from epsigma.proofs.duals import Relaxation
from epsigma.proofs.exact import SAFE, UNSAFE, UNSETTLED, cast_into_ball, settle
from epsigma.proofs.leaves import minimise_leaf
from epsigma.proofs.network import Affine, Network, UnprovableError, fold
from epsigma.proofs.prove import prove
from epsigma.vocabulary import widen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import nn

# What a margin may be from zero and not be settled: what float32 may be off, and more.
NEAR = 1e-3
SIZES = [(8, 4, 2), (8, 5, 3), (8, 3, 3, 3), (4, 2, 2, 2, 2)]
BUDGETS = [0.05, 0.1, 0.2]


def make(sizes, seed):
    """A network with larger biases than usual, so that units change their sign in small boxes."""
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Flatten()]
    for size, out in pairwise(sizes):
        layer = nn.Linear(size, out).requires_grad_(False)
        layer.weight.copy_(torch.randn(out, size, generator=generator))
        layer.bias.copy_(torch.randn(out, generator=generator) / 2)
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).eval()
    x = torch.rand(5, 1, 1, sizes[0], generator=generator)
    return model, x, model(x).argmax(1)


def least_margin(model, image, label, eps, others=None):
    """The least margin over (all) others in the box, by a linear program for each pattern."""
    layers = [
        (one.weight.double().numpy(), one.bias.double().numpy())
        for one in model
        if isinstance(one, nn.Linear)
    ]
    low, high = np.clip(image - eps, 0, 1), np.clip(image + eps, 0, 1)
    units = sum(len(bias) for _, bias in layers[:-1])
    least = np.inf
    for pattern in product((0, 1), repeat=units):
        matrix, offset, left, right, at = np.eye(len(image)), np.zeros(len(image)), [], [], 0
        for weight, bias in layers[:-1]:
            matrix, offset = weight @ matrix, weight @ offset + bias
            on = np.array(pattern[at : at + len(bias)])
            at += len(bias)
            # On: z ≥ 0, or −A x ≤ b; off: A x ≤ −b.
            sign = np.where(on, -1, 1)
            left.append(sign[:, None] * matrix)
            right.append(-sign * offset)
            matrix, offset = on[:, None] * matrix, on * offset
        weight, bias = layers[-1]
        for other in others or set(range(len(bias))) - {label}:
            row = weight[label] - weight[other]
            found = linprog(
                row @ matrix,
                A_ub=np.concatenate(left),
                b_ub=np.concatenate(right),
                bounds=np.stack((low, high), 1),
            )
            if found.status == 0:
                least = min(least, found.fun + row @ offset + bias[label] - bias[other])
    return least


@pytest.mark.parametrize("eps", BUDGETS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_answers_are_those_of_all_activation_patterns(sizes, eps):
    model, x, labels = make(sizes, seed=0)
    folded = fold(Identity(), model, (1, 1, sizes[0]))
    answers = settle(folded, model, x, labels, eps=eps, seconds=60)
    bounds, _ = certify(folded, x, labels, eps=eps)
    for index, status in enumerate(answers.status):
        image = x[index].flatten().double().numpy()
        least = least_margin(model, image, int(labels[index]), eps)
        assert bounds[index] <= least + 1e-9
        if abs(least) > NEAR:
            assert status == (SAFE if least > 0 else UNSAFE)
        elif status != UNSETTLED:
            assert (status == SAFE) == (least > 0)


def near_the_border(seed, widths, eps, share, is_pooled):
    """Draw a network of two classes, an image (2,), and the points of a grid over its ball.

    All units of the first layer are off at the image, and not everywhere. Class 0 is right there,
    and on the grid its least margin is `share` of how far the logits vary.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, at=torch.randn):
        return at(*shape, generator=generator, dtype=torch.float64)

    # A float32 number, and a ball that is inside the pixel range.
    image = torch.full((2,), 0.5, dtype=torch.float64)
    axis = torch.linspace(0.5 - eps, 0.5 + eps, 61, dtype=torch.float64)
    first = draw(widths[0], 2)
    layers = [Affine(first, -(first @ image) - 0.4 * eps * draw(widths[0], at=torch.rand))]
    for size, out in pairwise(widths):
        # As mean pooling: weights of 0 and above, no bias.
        weight, bias = (draw(out, size).abs(), 0) if is_pooled else (draw(out, size), 0.25)
        layers.append(Affine(weight, bias * draw(out)))
    grid, last = torch.cartesian_prod(axis, axis), draw(2, widths[-1])
    raw = Network((*layers, Affine(last, torch.zeros(2, dtype=torch.float64))))
    found = raw(torch.cat((image[None], grid))) @ torch.tensor([1.0, -1.0], dtype=torch.float64)
    least, most = float(found.min()), float(found[0])
    bias = torch.tensor([share * (most - least) - least, 0], dtype=torch.float64)
    return Network((*layers, Affine(last, bias))), image, grid


def settle_image(network, image, eps):
    """Settle an image (2,) of class 0; the counterexample, (2,) float32, if there is one."""
    answers = settle(
        network,
        lambda images: network(images.flatten(1).double()),
        image.float().view(1, 1, 1, 2),
        torch.tensor([0]),
        eps=eps,
        seconds=20,
    )
    return answers.status[0], answers.counterexamples.flatten()


@given(
    seed=st.integers(0, 2**32 - 1),
    widths=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    eps=st.sampled_from([0.05, 0.25]),
    share=st.sampled_from([-0.5, -0.1, 0.1, 0.5]),
    is_pooled=st.booleans(),
)
@example(seed=7, widths=[6, 3], eps=0.25, share=-0.1, is_pooled=True)
@example(seed=215, widths=[6, 3], eps=0.25, share=-0.1, is_pooled=True)
@settings(max_examples=60, deadline=None)
def test_no_answer_contradicts_a_grid(seed, widths, eps, share, is_pooled):
    network, image, grid = near_the_border(seed, widths, eps, share, is_pooled)
    status, counterexample = settle_image(network, image, eps)
    logits = network(grid)
    if status == SAFE:
        assert (logits[:, 0] >= logits[:, 1]).all()
    if status == UNSAFE:
        assert (counterexample.double() - image).abs().max() <= eps
        assert network(counterexample.double()).argmax() == 1


def test_a_unit_that_is_on_somewhere_is_not_off_as_at_the_centre():
    """It is never negative and 0 at the centre, as behind mean pooling: no bound is below 0."""
    # The margin is 0.01 − relu(relu(x − 0.55)), which is −0.04 at 0.6.
    layers = ([[1.0]], [-0.55]), ([[1.0]], [0.0]), ([[0.0], [1.0]], [0.01, 0.0])
    network = Network(tuple(Affine(*(torch.tensor(a).double() for a in one)) for one in layers))
    answers = settle(
        network,
        lambda images: network(images.flatten(1).double()),
        torch.full((1, 1, 1, 1), 0.5),
        torch.tensor([0]),
        eps=0.1,
        seconds=5,
    )
    assert answers.status == [UNSAFE]
    region = make_region(torch.tensor([[0.5]]), 0.1)
    difference = difference_rows(torch.tensor([0]), 2)[0, 1]
    signs, is_on = torch.tensor([1.0, 0.0]).double(), torch.tensor([True, True])
    bound, _ = minimise_leaf(network, region, signs, is_on, difference)
    assert bound == pytest.approx(-0.04, abs=1e-5)


def test_both_answers_are_met_and_some_by_branching():
    """That the test above sees what it is there for."""
    seen = set()
    for sizes, eps in product(SIZES, BUDGETS):
        model, x, labels = make(sizes, seed=0)
        folded = fold(Identity(), model, (1, 1, sizes[0]))
        _, certified = certify(folded, x, labels, eps=eps)
        status = settle(folded, model, x, labels, eps=eps, seconds=60).status
        seen |= set(zip(status, certified.tolist(), strict=True))
    assert {(SAFE, True), (SAFE, False), (UNSAFE, False)} <= seen
    assert (UNSAFE, True) not in seen


@pytest.mark.parametrize("front", [Identity(), Gaussian(sigma=0.8)], ids=["none", "gaussian"])
def test_counterexamples_are_in_the_ball_and_fool_the_network_in_float32(trained, front):
    defended = nn.Sequential(front, trained.model)
    folded = fold(front, trained.model, (1, 8, 8))
    x, labels, eps = trained.images[:80], trained.labels[:80], 0.1
    answers = settle(folded, defended, x, labels, eps=eps, seconds=20)
    assert answers.counterexamples.dtype == torch.float32
    assert answers.counterexamples.min() >= 0
    assert answers.counterexamples.max() <= 1
    assert (answers.counterexamples.double() - x.double()).abs().max() <= eps
    unsafe = torch.tensor([status == UNSAFE for status in answers.status])
    assert torch.equal(defended(answers.counterexamples).argmax(1) != labels, unsafe)
    assert torch.equal(answers.counterexamples[~unsafe], x[~unsafe])
    # An attack fools no safe example, and only unsafe ones.
    generator = torch.Generator().manual_seed(0)
    attacked = pgd(defended, x, labels, eps=eps, loss="margin", restarts=3, generator=generator)
    fooled = defended(attacked).argmax(1) != labels
    assert fooled.any()
    assert {status for status, one in zip(answers.status, fooled, strict=True) if one} == {UNSAFE}
    assert answers.status.count(SAFE) > 10


def test_a_linear_model_is_settled_without_branching(monkeypatch):
    def branch(*_):
        raise AssertionError("there is nothing to hold")

    monkeypatch.setattr(exact.Nodes, "hold", branch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Softmax((1, 4, 4), 3).eval().requires_grad_(False)
        x = torch.rand(60, 1, 4, 4)
    labels = model(x).argmax(1)
    folded = fold(Identity(), model, (1, 4, 4))
    _, certified = certify(folded, x, labels, eps=0.1)
    monkeypatch.setattr(exact, "BATCH", 7)
    folded_status = settle(folded, model, x, labels, eps=0.1, seconds=10).status
    assert 0 < certified.sum() < 60
    assert [SAFE if one else UNSAFE for one in certified] == folded_status


def open_examples(trained, eps):
    """What neither CROWN nor PGD settles of the trained model's test images."""
    folded = fold(Identity(), trained.model, (1, 8, 8))
    _, certified = certify(folded, trained.images, trained.labels, eps=eps)
    attacked = pgd(trained.model, trained.images, trained.labels, eps=eps, random_start=False)
    right = trained.model(attacked).argmax(1) == trained.labels
    at = right & ~certified
    assert at.sum() > 5
    return folded, trained.images[at], trained.labels[at]


def test_what_takes_too_long_is_unsettled(trained):
    folded, x, labels = open_examples(trained, 0.1)
    short = settle(folded, trained.model, x, labels, eps=0.1, seconds=0)
    long = settle(folded, trained.model, x, labels, eps=0.1, seconds=60)
    assert UNSETTLED in short.status
    assert UNSETTLED not in long.status
    assert SAFE in long.status
    for some, all_ in zip(short.status, long.status, strict=True):
        assert some in (UNSETTLED, all_)
    assert (long.seconds > 0).all()


def test_the_answer_is_the_same_each_time_and_for_each_example_alone(trained):
    folded, x, labels = open_examples(trained, 0.1)
    first, second = (
        settle(folded, trained.model, x, labels, eps=0.1, seconds=60) for _ in range(2)
    )
    assert first.status == second.status
    assert torch.equal(first.counterexamples, second.counterexamples)
    for index in range(3):
        rows = slice(index, index + 1)
        alone = settle(folded, trained.model, x[rows], labels[rows], eps=0.1, seconds=60)
        assert alone.status == first.status[rows]


def test_a_counterexample_that_does_not_fool_the_network_itself_is_none(trained):
    """The defended model is another than the one that was folded: nothing may be said."""
    folded = fold(Identity(), trained.model, (1, 8, 8))
    x, labels = trained.images[:20], trained.labels[:20]
    true = settle(folded, trained.model, x, labels, eps=0.1, seconds=20)
    assert UNSAFE in true.status

    def always_right(images):
        at = [int((x - image).flatten(1).abs().amax(1).argmin()) for image in images]
        return nn.functional.one_hot(labels[at], 10).float()

    answers = settle(folded, always_right, x, labels, eps=0.1, seconds=0.3)
    for status, is_true in zip(answers.status, true.status, strict=True):
        assert status == UNSETTLED or status == is_true == SAFE
    assert torch.equal(answers.counterexamples, x)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_proves_nothing(trained, value):
    broken = copy.deepcopy(trained.model)
    broken.layers[1].weight[3, 5] = value
    with pytest.raises(UnprovableError, match="not finite"):
        fold(Identity(), broken, (1, 8, 8))
    folded = fold(Identity(), trained.model, (1, 8, 8))
    folded.layers[0].weight[3, 5] = value
    x, labels = trained.images[:10], trained.labels[:10]
    assert not certify(folded, x, labels, eps=0.01)[1].any()
    assert SAFE not in settle(folded, trained.model, x, labels, eps=0.01, seconds=0).status


def test_no_examples_have_no_answers(trained):
    folded = fold(Identity(), trained.model, (1, 8, 8))
    answers = settle(
        folded, trained.model, trained.images[:0], trained.labels[:0], eps=0.1, seconds=1
    )
    assert answers.status == []


# --- Its parts


def test_ascent_tightens_bounds_and_never_passes_the_least_margin():
    gained, n_parents = 0.0, 0
    for seed in range(4):
        model, x, labels = make((3, 5, 3), seed)
        folded = fold(Identity(), model, (1, 1, 3))
        region = make_region(x.flatten(1), 0.3)
        (bounds,) = bound_units(folded, region)
        about = Relaxation(folded, region, bounds, difference_rows(labels, 3))
        for index in range(len(x)):
            others = [other for other in range(3) if other != labels[index]]
            start = about.start(torch.tensor([index] * 2), torch.tensor(others))
            before, _ = about.ascend(start, 0)
            after, reached = about.ascend(start, 30)
            image, label = x[index].flatten().double().numpy(), int(labels[index])
            least = torch.tensor([least_margin(model, image, label, 0.3, [one]) for one in others])
            assert (after.bound >= before.bound).all()
            assert (after.bound <= least + 1e-9).all()
            assert (reached - region.center[index]).abs().max() <= region.radius.max() + 1e-12
            gained += float((after.bound - before.bound).sum())
            # Held at a sign, the two children cover what their parent does.
            is_parent = after.branch >= 0
            children, _ = about.ascend(after[is_parent].hold(), 30)
            assert (children.bound >= after.bound[is_parent].repeat(2)).all()
            of_both = children.bound.view(2, -1).amin(0)
            assert (of_both <= least[is_parent] + 1e-9).all()
            n_parents += int(is_parent.sum())
    assert gained > 0.1
    assert n_parents > 10


@pytest.mark.parametrize("seed", range(4))
def test_the_least_bound_of_all_leaves_is_the_least_margin(seed):
    model, x, labels = make((3, 2, 2, 2), seed)
    folded = fold(Identity(), model, (1, 1, 3))
    region = make_region(x.flatten(1), 0.3)
    for index in range(3):
        label = int(labels[index])
        difference = difference_rows(labels[index : index + 1], 2)[0, 1 - label]
        bounds, reached = zip(
            *(
                minimise_leaf(folded, region[index : index + 1], signs, signs > 0, difference)
                for signs in torch.tensor([*product((-1, 1), repeat=4)], dtype=torch.float64)
            ),
            strict=True,
        )
        image = x[index].flatten().double().numpy()
        least = least_margin(model, image, label, widen(0.3))
        assert min(bounds) == pytest.approx(least, abs=1e-6)
        logits = folded(reached[int(np.argmin(bounds))])
        assert float(logits[label] - logits[1 - label]) == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("eps", [0, 0.05, 0.1, 1 / 3, 1])
def test_what_is_cast_stays_in_the_ball_in_exact_arithmetic(eps):
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(1000, generator=generator) * 1.4 - 0.2).clamp_(0, 1)
    for delta in (-eps, eps, eps / 3):
        cast = cast_into_ball(images.double() + delta, images, eps)
        assert cast.dtype == torch.float32
        assert (cast.double() - images.double()).abs().max() <= eps
        assert cast.min() >= 0
        assert cast.max() <= 1
        inside = (images.double() + delta).clamp(0, 1)
        torch.testing.assert_close(cast, inside.float(), rtol=0, atol=2e-7)


# --- A cell


def test_what_is_proved_of_a_cell_brackets_the_truth(trained):
    folded, (x, labels) = fold(Identity(), trained.model, (1, 8, 8)), trained_part(trained)
    eps = 0.1
    attacked = pgd(trained.model, x, labels, eps=eps, random_start=False)
    fooled = trained.model(attacked).argmax(1) != labels
    known = prove(folded, trained.model, x, labels, eps=eps, fooled=fooled)
    all_ = prove(
        folded, trained.model, x, labels, eps=eps, fooled=fooled, exact_examples=100, seconds=60
    )
    low, high = known.bracket
    assert low == known.columns["certified"].mean() > 0
    assert high == 1 - fooled.double().mean() < 1
    # Exact answers close the bracket, inside the one that was there.
    assert low < all_.bracket[0] == all_.bracket[1] < high
    safe = all_.columns["status"] == SAFE
    # Counterexamples fool the model, and so does the attack, never what is safe.
    wrong = (trained.model(all_.counterexamples).argmax(1) != labels) | fooled
    assert np.array_equal(wrong.numpy(), ~safe)
    assert set(all_.columns["status"]) == {SAFE, UNSAFE}
    assert np.array_equal(all_.columns["index"], np.arange(len(x)))


def test_exact_answers_are_of_the_first_examples_only(trained):
    folded, (x, labels) = fold(Identity(), trained.model, (1, 8, 8)), trained_part(trained)
    some = prove(folded, trained.model, x, labels, eps=0.1, exact_examples=30, seconds=60)
    bound = some.columns["certified"]
    assert UNSETTLED not in some.columns["status"][:30]
    assert np.array_equal(some.columns["status"][30:] == SAFE, bound[30:])
    assert np.array_equal(some.columns["status"][30:] == UNSETTLED, ~bound[30:])
    with pytest.raises(ValueError, match="linf only, not for l2"):
        prove(folded, trained.model, x, labels, eps=0.1, norm="l2", exact_examples=1)


def trained_part(trained):
    return trained.images[:100], trained.labels[:100]
