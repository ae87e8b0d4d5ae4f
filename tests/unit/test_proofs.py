"""Folding filters and classifiers into networks, certified bounds of their margins."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch
from epsigma.attacks.pgd import pgd, pgd_l2
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.filter import Filter
from epsigma.filters.frequency import BandPass, HighPass, LowPass
from epsigma.filters.gaussian import BORDERS, Gaussian
from epsigma.filters.jpeg import Jpeg
from epsigma.filters.median import Median
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.none import Identity
from epsigma.filters.sequence import Sequence
from epsigma.models.cnn import CNN
from epsigma.models.maxout import Maxout
from epsigma.models.mlp import MLP
from epsigma.models.preprocessing import Normalize
from epsigma.models.softmax import Softmax
from epsigma.proofs import crown, network
from epsigma.proofs.crown import bound_margins, certify, make_region
from epsigma.proofs.network import Affine, Network, UnprovableError, fold
from epsigma.vocabulary import widen
from torch import nn
from torch.nn import functional

SHAPE = (1, 8, 8)


def seeded(make, seed=0):
    """Make a model whose weights are drawn with a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval().requires_grad_(False)


def images(n, shape=SHAPE, seed=0):
    """Images of which some values are at the ends of the range."""
    random = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))
    return (random * 1.6 - 0.3).clamp_(0, 1)


def sequence(*filters):
    return Sequence(filters, filters)


class Convolutions(nn.Module):
    """Convolutions with other affine layers between them, in containers of containers."""

    def __init__(self, shape, classes):
        super().__init__()
        norm = nn.BatchNorm2d(3)
        norm.running_mean.uniform_()
        norm.running_var.uniform_(0.5, 2)
        self.first = nn.Sequential(nn.Conv2d(shape[0], 3, 3, padding=1), norm, nn.ReLU())
        self.second = nn.Sequential(
            nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 3, stride=2)), nn.ReLU(inplace=True)
        )
        self.last = nn.Sequential(nn.Dropout(), nn.Flatten(), nn.LazyLinear(classes))

    def forward(self, x):
        return self.last(self.second(self.first(x)))


class Functional(nn.Module):
    """Rectifies by a function, which is no layer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Flatten(), nn.Linear(64, 5), nn.Linear(5, 3)])

    def forward(self, x):
        flatten, first, last = self.layers
        return last(functional.relu(first(flatten(x))))


class Doubled(nn.Sequential):
    """Does something to what its last layer returns."""

    def forward(self, x):
        return 2 * super().forward(x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 3)

    def forward(self, x):
        x = x.flatten(1)
        return self.last(x + self.first(x).relu())


class Lying(Filter):
    """A filter that says that it is linear, and is not."""

    def forward(self, images):
        return images.abs()

    def formula(self, images):
        return images.abs()


LINEAR = {
    "none": Identity(),
    **{f"gaussian {border}": Gaussian(sigma=1.3, border=border) for border in BORDERS},
    "low-pass": LowPass(cutoff=0.2, dc="keep"),
    "high-pass": HighPass(cutoff=0.1, dc="drop", shape="gaussian"),
    "band-pass": BandPass(cutoff=0.2, dc="drop", shape="butterworth"),
    "sequence": sequence(Gaussian(sigma=0.7), HighPass(cutoff=0.02, dc="drop")),
}
MODELS = {
    "softmax": lambda shape: Softmax(shape, 4),
    "mlp": lambda shape: MLP(shape, 4, hidden=7),
    "convolutions": lambda shape: Convolutions(shape, 4),
    "three layers": lambda shape: nn.Sequential(
        nn.Flatten(), nn.LazyLinear(9), nn.ReLU(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 4)
    ),
    "ends in ReLU": lambda shape: nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.ReLU()),
}


def make(name, shape, seed=0):
    def build():
        model = MODELS[name](shape).eval()
        model(torch.zeros(1, *shape))
        return model

    return seeded(build, seed)


# --- Folding


@pytest.mark.parametrize("shape", [SHAPE, (3, 9, 6)], ids=str)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", LINEAR)
def test_a_folded_network_is_the_filter_and_then_the_classifier(name, model, shape):
    classifier, x = make(model, shape), images(20, shape)
    folded = fold(LINEAR[name], classifier, shape)
    expected = classifier(LINEAR[name](x))
    found = folded(x.flatten(1).double())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)


def test_folding_leaves_the_classifier_as_it_was():
    classifier = make("mlp", SHAPE)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    fold(Identity(), classifier, SHAPE)
    for name, value in classifier.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, before[name])


REFUSED_FILTERS = {
    "Median is not linear": Median(size=3),
    "BitDepth is not linear": BitDepth(bits=4),
    "Jpeg is not linear": Jpeg(quality=50),
    "HighPass is not linear": HighPass(cutoff=0.1, dc="drop", post="clip"),
    "LowPass is not linear": LowPass(cutoff=0.1, dc="keep", post="rescale"),
    "GaussianNoise is random": GaussianNoise(std=0.1),
    "Lying says that it is linear, and is not": Lying(),
}


@pytest.mark.parametrize("message", REFUSED_FILTERS)
def test_a_filter_that_is_no_matrix_is_refused_by_name(message):
    for front in (REFUSED_FILTERS[message], sequence(Gaussian(sigma=1), REFUSED_FILTERS[message])):
        front_of = seeded(lambda: Softmax(SHAPE, 3))
        with pytest.raises(UnprovableError, match=message):
            fold(front, front_of, SHAPE)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: CNN(SHAPE, 3), "MaxPool2d"),
        (lambda: Maxout(SHAPE, 3), "Maxout"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.LeakyReLU()), "LeakyReLU"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Sigmoid()), "Sigmoid"),
        (Residual, "Residual does not only call its layers one after the other"),
        (Functional, "Functional does not only call its layers"),
        (lambda: Doubled(nn.Flatten(), nn.Linear(64, 3)), "Doubled does not only call its layers"),
    ],
)
def test_a_classifier_of_other_layers_is_refused_by_name(model, message):
    with pytest.raises(UnprovableError, match=message):
        fold(Identity(), seeded(model), SHAPE)


def test_folding_does_not_disturb_models_in_other_threads():
    """As `torch.fx` does, which changes all modules while it traces."""
    classifier, other, x = make("mlp", SHAPE), make("mlp", SHAPE, seed=1), images(5)
    expected, stop = other(x), threading.Event()

    def fold_often():
        while not stop.is_set():
            fold(Identity(), classifier, SHAPE)

    with ThreadPoolExecutor(1) as pool:
        folding = pool.submit(fold_often)
        try:
            assert all(torch.equal(other(x), expected) for _ in range(2000))
        finally:
            stop.set()
        folding.result()


def test_a_layer_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(network, "LARGEST", 64 * 7 - 1)
    with pytest.raises(UnprovableError, match="7 × 64 is too large"):
        fold(Identity(), make("mlp", SHAPE), SHAPE)


# --- Bounds


def random_network(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    return Network(
        tuple(
            Affine(
                torch.randn(out, size, generator=generator, dtype=torch.float64) / size**0.5,
                torch.randn(out, generator=generator, dtype=torch.float64) / 4,
            )
            for size, out in pairwise(sizes)
        )
    )


def margins(folded, x, labels):
    """Z_y − Z_j, (N, K), +∞ where j is y."""
    logits = folded(x)
    at = labels.unsqueeze(1)
    return (logits.gather(1, at) - logits).scatter(1, at, torch.inf)


def points(x, eps, norm, generator):
    """Points of the balls around x, within [0, 1]: some inside, some in the corners."""
    delta = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    if norm == "linf":
        corner = torch.rand(1, generator=generator) < 0.5
        delta = delta.sign() * eps if corner else delta.clamp(-1, 1) * eps
    else:
        delta *= eps / torch.linalg.vector_norm(delta, dim=1, keepdim=True)
    return (x + delta).clamp(0, 1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "sizes", [(6, 3), (6, 8, 2), (6, 8, 3), (6, 8, 8, 4), (5, 7, 6, 5, 3)], ids=str
)
def test_no_point_of_the_ball_goes_below_the_bounds(sizes, seed, norm):
    folded = random_network(sizes, seed)
    x = images(15, (sizes[0],), seed).double()
    labels = folded(x).argmax(1)
    generator = torch.Generator().manual_seed(seed)
    for eps in (0, 0.03, 0.2, 1):
        lower, _ = bound_margins(folded, x, labels, eps=eps, norm=norm)
        assert lower.shape == (15, sizes[-1])
        least = margins(folded, x, labels)
        for _ in range(200):
            least = torch.minimum(least, margins(folded, points(x, eps, norm, generator), labels))
        assert (least >= lower - 1e-12).all()
        # Bounds that say something: what is true of the image itself at no budget.
        if eps == 0:
            torch.testing.assert_close(lower, least, rtol=0, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_bounds_of_a_linear_model_are_its_least_margins_in_the_box(seed):
    folded = random_network((7, 4), seed)
    x = images(10, (7,), seed).double()
    labels = torch.arange(10) % 4
    lower, _ = bound_margins(folded, x, labels, eps=0.1)
    wide = widen(0.1)
    weight, bias = folded.layers[0].weight, folded.layers[0].bias
    for index, (image, label) in enumerate(zip(x, labels, strict=True)):
        for other in set(range(4)) - {int(label)}:
            row = weight[label] - weight[other]
            corner = torch.where(row > 0, (image - wide).clamp(min=0), (image + wide).clamp(max=1))
            exact = row @ corner + bias[label] - bias[other]
            assert lower[index, other].item() == pytest.approx(exact.item(), abs=1e-12)
        assert lower[index, label] == math.inf


def test_bounds_of_a_linear_model_are_its_least_margins_in_an_l2_ball_away_from_the_range():
    folded = random_network((7, 3), 0)
    x = torch.full((1, 7), 0.5, dtype=torch.float64)
    lower, _ = bound_margins(folded, x, torch.tensor([0]), eps=0.2, norm="l2")
    weight, bias = folded.layers[0].weight, folded.layers[0].bias
    row = weight[0] - weight[1]
    wide = widen(0.2)
    exact = row @ x[0] - wide * row.norm() + bias[0] - bias[1]
    assert lower[0, 1].item() == pytest.approx(exact.item(), abs=1e-12)


def test_bounds_fall_with_the_budget_and_do_not_depend_on_the_batch(monkeypatch):
    folded = random_network((6, 8, 8, 4), 0)
    x = images(9, (6,)).double()
    labels = folded(x).argmax(1)
    before = None
    for eps in (0, 0.01, 0.05, 0.2):
        lower, error = bound_margins(folded, x, labels, eps=eps)
        if before is not None:
            assert (lower <= before + 1e-12).all()
        before = lower
    monkeypatch.setattr(crown, "BATCH", 2)
    torch.testing.assert_close(bound_margins(folded, x, labels, eps=0.2), (lower, error))
    alone, _ = bound_margins(folded, x[:1], labels[:1], eps=0.2)
    torch.testing.assert_close(alone, lower[:1])


@pytest.mark.parametrize("norm", ["l1", ""])
def test_an_unknown_norm_and_a_negative_budget_are_refused(norm):
    with pytest.raises(ValueError, match="linf, l2"):
        make_region(torch.zeros(1, 3), 0.1, norm)
    with pytest.raises(ValueError, match="negative"):
        make_region(torch.zeros(1, 3), -0.1)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_what_is_certified_is_not_fooled(trained, name, norm):
    folded = fold(LINEAR[name], trained.model, SHAPE)
    defended = nn.Sequential(LINEAR[name], trained.model)
    x, labels = trained.images[:150], trained.labels[:150]
    attack = pgd if norm == "linf" else pgd_l2
    eps = 0.02 if norm == "linf" else 0.1
    generator = torch.Generator().manual_seed(0)
    attacked = attack(defended, x, labels, eps=eps, loss="margin", restarts=2, generator=generator)
    right = defended(attacked).argmax(1) == labels
    least, certified = certify(folded, x, labels, eps=eps, norm=norm)
    assert torch.equal(certified, least > 0)
    assert not (certified & ~right).any()
    # Most of what an attack leaves is proved, and an attacked margin is above its bound.
    assert certified.sum() > 0.5 * right.sum() > 0
    found = margins(folded, attacked.flatten(1).double(), labels)
    assert (found.amin(1) >= least).all()


def how_far_off(front, classifier, x, labels):
    """How far margins in float32 are from those in float64, and may be; (N, K)."""
    folded = fold(front, classifier, tuple(x.shape[1:]))
    _, error = bound_margins(folded, x, labels, eps=0)
    in_float32 = classifier(front(x)).double()
    off = margins(folded, x.flatten(1).double(), labels) - (
        in_float32.gather(1, labels.unsqueeze(1)) - in_float32
    )
    return off.scatter_(1, labels.unsqueeze(1), 0).abs(), error


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["none", "gaussian reflect", "low-pass", "high-pass", "sequence"])
def test_float32_is_off_by_less_than_is_allowed_for(name, model):
    # 28 × 28: sums as long as MNIST's.
    shape = (1, 28, 28)
    off, error = how_far_off(
        LINEAR[name], make(model, shape), images(50, shape), torch.arange(50) % 4
    )
    assert (off < error / 4).all()
    assert (error < 0.05).all()


@torch.no_grad()
def large_and_back(kind):
    """A network of which layers that follow each other cancel large values."""
    linear, norm = nn.Linear(64, 16), nn.BatchNorm1d(16)
    layers = [nn.Flatten(), linear, norm, nn.ReLU(), nn.Linear(16, 4)]
    if kind == "batch normalisation":
        linear.bias.fill_(1000)
        norm.running_mean.fill_(1000)
    elif kind == "one layer":
        # x·a + (b − m·a) of one batch normalisation: m and b cancel within it.
        norm.running_mean.fill_(-1000)
        norm.bias.fill_(-1000 / (1 + norm.eps) ** 0.5)
    elif kind == "normalize":
        layers.insert(0, Normalize(100.0, 0.01, 1))
        linear.bias.copy_(1e4 * linear.weight.sum(1))
    else:
        layers[2] = nn.Linear(16, 16)
        linear.bias.fill_(1000)
        layers[2].bias.copy_(-1000 * layers[2].weight.sum(1))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("kind", ["batch normalisation", "one layer", "normalize", "linear"])
def test_what_cancels_between_layers_is_off_in_float32_all_the_same(kind):
    """A folded map does not show it: its weights and biases are small."""
    off, error = how_far_off(
        Identity(),
        seeded(lambda: large_and_back(kind)),
        images(50) * 0.02,
        torch.arange(50) % 4,
    )
    # Otherwise the test says nothing.
    assert off.max() > 3e-6
    assert (off <= error).all()


def test_what_cancels_between_filters_counts_too():
    """A low-pass and then the high-pass that stops what is left."""
    low, high = LowPass(cutoff=0.1, dc="keep"), HighPass(cutoff=0.1, dc="drop")
    classifier = seeded(lambda: Softmax(SHAPE, 4))
    folded = fold(sequence(low, high), classifier, SHAPE)
    (layer,) = folded.layers
    assert layer.weight.abs().max() < 1e-12
    x, y = images(20), torch.arange(20) % 4
    _, error = bound_margins(folded, x, y, eps=0)
    _, alone = bound_margins(fold(high, classifier, SHAPE), x, y, eps=0)
    assert error.amax(1).min() > 0.1 * alone.amax(1).min()


def test_short_sums_are_bounded_for_certain_and_long_ones_with_odds():
    unit = 2.0**-24
    assert crown.bound_rounding([0]) == 0
    assert crown.bound_rounding([49]) == pytest.approx(49 * unit, rel=1e-5)
    assert crown.bound_rounding([49, 10]) == pytest.approx(59 * unit, rel=1e-5)
    assert crown.bound_rounding([785]) == pytest.approx(8 * 785**0.5 * unit, rel=1e-4)
    # Of 58 sums of 10,000 images in 40 cells, one fails with a probability of less than 0.001.
    assert 58 * 10_000 * 40 * 2 * 785 * math.exp(-(crown.LAMBDA**2) / 2) < 0.001
