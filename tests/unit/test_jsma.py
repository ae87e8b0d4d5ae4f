import copy
import math
from itertools import combinations

import pytest
import torch
from epsigma.attacks.jsma import jsma, salient_pairs
from epsigma.attacks.shares import ShareError
from epsigma.models.mlp import MLP
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

OUTPUTS = ("logits", "softmax")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def every_target(model, images, labels, *, count):
    """The first images that the model gets right, each once for every other class."""
    right = (model(images).argmax(1) == labels).nonzero().squeeze(1)[:count]
    classes = model(images[:1]).shape[1]
    others = (labels[right].unsqueeze(1) + torch.arange(1, classes)) % classes
    rows = right.repeat_interleave(classes - 1)
    return images[rows], labels[rows], others.flatten()


def untrained(shape, *, classes=5, dtype=torch.float64, seed=0):
    """A model of random weights, and images of which some features are at the ends."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP(shape, classes, hidden=12).to(dtype).eval().requires_grad_(False)
    images = torch.rand(6, *shape, generator=seeded(seed), dtype=dtype) * 1.5 - 0.25
    return model, images.clamp_(0, 1)


class Linear(nn.Module):
    """Logits b + Wx of images with any shape; counts how many it is asked about at a time."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias, self.asked = torch.tensor(weight), torch.tensor(bias), []

    def forward(self, images):
        self.asked.append(len(images))
        return images.flatten(1) @ self.weight.T + self.bias


def stubborn(features):
    """A model whose class 1 every feature favours, and none enough."""
    return Linear([[-1.0] * features, [1.0] * features], [0.0, -1e6])


def changed(found, images):
    return (found != images).flatten(1).sum(1)


# --- The paper's algorithm


def literal(model, image, target, *, theta, steps, outputs):
    """Algorithms 2 and 3 of the paper as they stand: the images from the first to the last."""

    def forward(x):
        logits = model(x.unsqueeze(0))[0]
        return logits if outputs == "logits" else logits.softmax(0)

    x = image.clone()
    iterates = [x.clone()]
    end = 1 if theta > 0 else 0
    search = {p for p, value in enumerate(x.flatten().tolist()) if value != end}
    while forward(x).argmax() != target and len(iterates) <= steps:
        jacobian = torch.autograd.functional.jacobian(forward, x).flatten(1)
        of_target = jacobian[target].tolist()
        of_others = sum(row for j, row in enumerate(jacobian) if j != target).tolist()
        largest, pair = 0, None
        for p, q in combinations(sorted(search), 2):
            alpha, beta = of_target[p] + of_target[q], of_others[p] + of_others[q]
            admissible = (alpha > 0 and beta < 0) if theta > 0 else (alpha < 0 and beta > 0)
            if admissible and -alpha * beta > largest:
                largest, pair = -alpha * beta, (p, q)
        if pair is None:
            break
        for p in pair:
            x.view(-1)[p] = min(max(x.view(-1)[p].item() + theta, 0), 1)
            if x.view(-1)[p] in (0, 1):
                search.remove(p)
        iterates.append(x.clone())
    return iterates


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("theta", [1, 0.4, -1, -0.3])
@pytest.mark.parametrize("shape", ["digits", (3, 4, 3), (1, 5, 4)], ids=str)
def test_every_step_is_that_of_the_paper_s_algorithm(trained, shape, theta, outputs):
    if shape == "digits":
        model = copy.deepcopy(trained.model).double()
        given = trained.images.double(), trained.labels
        images, labels, targets = every_target(model, *given, count=1)
    else:
        model, images = untrained(shape)
        labels = model(images).argmax(1)
        targets = (labels + 1 + torch.arange(len(images)) % 4) % 5
    steps, features = 5, images[0].numel()
    runs = [
        literal(model, image, target, theta=theta, steps=steps, outputs=outputs)
        for image, target in zip(images, targets.tolist(), strict=True)
    ]
    assert sum(len(run) > 2 for run in runs) >= 3
    for step in range(steps + 1):
        expected = torch.stack([run[min(step, len(run) - 1)] for run in runs])
        found = jsma(
            model,
            images,
            labels,
            gamma=2 * step / features,
            targets=targets,
            theta=theta,
            outputs=outputs,
        )
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# --- The search for pairs


def values(rise, fall, live):
    """What each pair is worth, 0 where it is inadmissible: the table of all pairs, (d, d)."""
    rise, fall = rise.double(), fall.double()
    u, v = rise[:, None] + rise, fall[:, None] + fall
    able = live & rise.isfinite() & fall.isfinite()
    admissible = (u > 0) & (v > 0) & able & able[:, None]
    return torch.where(admissible, u * v, 0).fill_diagonal_(0)


def agrees(rise, fall, live, *, memory=256):
    """Hold the search against the table of all pairs, row by row."""
    pairs, found = salient_pairs(rise, fall, live, memory=memory)
    assert pairs.shape == (len(rise), 2)
    assert found.shape == (len(rise),)
    for row, (p, q) in enumerate(pairs.tolist()):
        table = values(rise[row], fall[row], live[row])
        best = table.max() if table.numel() else 0
        assert found[row] == (best > 0)
        if found[row]:
            assert p != q
            assert table[p, q] == best
    return found


def front(features, exponent):
    """Features none of which exceeds another in both: rise^e + fall^e = 1, in random order."""
    rise = torch.rand(4, features, generator=seeded(1))
    return rise, (1 - rise**exponent) ** (1 / exponent)


def normal(features, *, correlation=0.0, shift=0.0, scale=1.0):
    first, second = torch.randn(2, 12, features, generator=seeded(2))
    fall = correlation * first + math.sqrt(1 - correlation**2) * second
    return (first + shift) * scale, (fall + shift) * scale


def whole(features, most):
    """Small whole numbers, which tie all over."""
    return torch.randint(-most, most + 1, (2, 20, features), generator=seeded(3)).float().unbind()


def with_one_that_exceeds_all(rise, fall):
    rise[:, 7], fall[:, 7] = rise.max() + 1, fall.max() + 1
    return rise, fall


def with_what_is_no_number(rise, fall):
    rise[:, 1], fall[:, 2], rise[:, 3], fall[:, 4] = torch.nan, torch.nan, torch.inf, -torch.inf
    return rise, fall


DATA = {
    "independent": normal(80),
    "alike": normal(80, correlation=0.99),
    "opposed": normal(80, correlation=-0.99),
    "nearly all negative": normal(80, shift=-1.5),
    "all negative": normal(80, shift=-100),
    "all positive": normal(80, shift=100),
    "tiny": normal(80, scale=1e-30),
    "huge": normal(80, scale=1e30),
    "a round front": front(80, 2),
    "a straight front": front(80, 1),
    "a hollow front": front(80, 0.5),
    "one that exceeds all": with_one_that_exceeds_all(*normal(40)),
    "one that exceeds a front": with_one_that_exceeds_all(*front(40, 1)),
    "not numbers": with_what_is_no_number(*normal(40)),
    "signs": whole(30, 1),
    "small whole numbers": whole(50, 3),
    "all equal": (torch.ones(3, 20), torch.ones(3, 20)),
    "all zero": (torch.zeros(3, 20), torch.zeros(3, 20)),
    "none rises": (torch.zeros(3, 20), torch.ones(3, 20)),
    "only two far apart make a pair": (
        torch.tensor([[5.0, -4.0, -9.0, -9.0]]),
        torch.tensor([[-4.0, 5.0, -9.0, -9.0]]),
    ),
    "two features": normal(2, shift=0.5),
    "one feature": normal(1),
    "no feature": normal(0),
}


@pytest.mark.parametrize("alive", [1.0, 0.5, 0.05, 0.0])
@pytest.mark.parametrize("name", DATA)
def test_the_search_finds_the_best_of_all_pairs(name, alive):
    rise, fall = DATA[name]
    live = torch.rand(rise.shape, generator=seeded(4)) < alive
    found = agrees(rise, fall, live)
    if alive == 1 and name not in ("all negative", "all zero", "none rises"):
        assert found.any() == (rise.shape[1] > 1)


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.booleans()), max_size=14),
    st.sampled_from([1.0, 1e-20, 0.1]),
)
def test_the_search_finds_the_best_of_all_pairs_of_anything(features, scale):
    table = torch.tensor(features, dtype=torch.float32).view(-1, 3).T.unsqueeze(1)
    agrees(table[0] * scale, table[1] * scale, table[2].bool())


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(-1, 1), st.floats(-2, 2))
def test_the_search_finds_the_best_of_all_pairs_of_random_features(seed, size, alike, shift):
    generator = seeded(seed)
    rise, other = torch.randn(2, 5, size, generator=generator)
    # Magnitudes far apart in the same row.
    rise = rise * torch.logspace(-4, 4, size)[torch.randperm(size, generator=generator)]
    agrees(rise + shift, alike * rise + other, torch.ones_like(rise, dtype=torch.bool))


def test_the_search_does_not_look_at_other_rows():
    rows = [DATA[name] for name in ("small whole numbers", "a round front", "nearly all negative")]
    rise, fall = (torch.cat([row[part][:, :50] for row in rows]) for part in (0, 1))
    live = torch.rand(rise.shape, generator=seeded(5)) < 0.9
    pairs, found = salient_pairs(rise, fall, live, memory=256)
    assert found.any()
    for row in range(len(rise)):
        one = slice(row, row + 1)
        alone, has = salient_pairs(rise[one], fall[one], live[one], memory=256)
        assert has.item() == found[row]
        assert not has or torch.equal(alone[0], pairs[row])


class Held(TorchDispatchMode):
    """Keeps how many bytes the tensors made under it hold at once, at most."""

    def __init__(self):
        super().__init__()
        self.most, self._storages = 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = {
            leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if tensor(leaf)
        }
        result = function(*args, **(kwargs or {}))
        for leaf in filter(tensor, tree_leaves(result)):
            storage = leaf.untyped_storage()
            if storage._cdata not in given:
                self._storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._storages = {key: one for key, one in self._storages.items() if not one[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._storages.values()))
        return result


def tensor(leaf):
    return isinstance(leaf, torch.Tensor)


@pytest.mark.parametrize("exponent", [1, 2], ids=["every feature remains", "few remain"])
@pytest.mark.parametrize(("rows", "features"), [(300, 300), (3, 1200)])
def test_the_search_holds_no_more_than_it_may(rows, features, exponent):
    # Of a straight front each feature is as promising as any other: nothing can be left out.
    rise = torch.rand(rows, features, generator=seeded(6))
    fall = (1 - rise**exponent) ** (1 / exponent)
    live = torch.ones_like(rise, dtype=torch.bool)
    with Held() as held:
        pairs, found = salient_pairs(rise, fall, live, memory=1)
    assert found.all()
    assert held.most <= 2**20
    with Held() as unbounded:
        same, _ = salient_pairs(rise, fall, live, memory=4096)
    assert torch.equal(same, pairs)
    # The bound did something; a table of all pairs would not fit at all.
    assert unbounded.most > 2**20 or rows < 300
    assert features**2 * 4 > 2**20 or rows == 300


# --- The attack


@pytest.mark.parametrize(
    ("shape", "gamma", "pairs"),
    [
        ((1, 8, 8), 0, 0),
        ((1, 8, 8), 2 / 64, 1),
        ((1, 8, 8), 0.145, 4),
        ((1, 8, 8), 1, 32),
        ((1, 10, 10), 0.58, 29),
        ((3, 3, 3), 1, 13),
        ((1, 28, 28), 0.145, 56),
    ],
)
def test_no_more_features_are_changed_than_the_budget_allows(shape, gamma, pairs):
    images = torch.zeros(2, *shape)
    labels, targets = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    model = stubborn(math.prod(shape))
    found = jsma(model, images, labels, gamma=gamma, targets=targets, outputs="logits")
    assert changed(found, images).tolist() == [2 * pairs] * 2
    assert len(model.asked) == pairs
    assert 2 * pairs <= math.prod(shape) * gamma + 1e-9


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("theta", [1, 0.25, -0.5, -1])
def test_features_are_changed_in_pairs_by_theta_and_clipped(trained, theta, outputs):
    given = every_target(trained.model, trained.images, trained.labels, count=6)
    images, labels, targets = given
    found = jsma(
        trained.model, images, labels, gamma=0.2, targets=targets, theta=theta, outputs=outputs
    )
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    delta = found - images
    assert (delta * theta >= 0).all()
    # Of 64 features a fifth, in pairs.
    assert (delta.abs() / abs(theta)).ceil().flatten(1).sum(1).max() <= 12 * (1 / abs(theta))
    assert 2 <= changed(found, images).max() <= 12
    if abs(theta) == 1:
        assert (changed(found, images) % 2 == 0).all()
        assert (found[delta != 0] == (theta > 0)).all()
    else:
        steps = delta / theta
        end = (found == 0) | (found == 1)
        assert ((steps - steps.round()).abs() < 1e-5)[~end].all()


def test_the_input_is_not_modified(trained):
    images, labels, targets = every_target(trained.model, trained.images, trained.labels, count=3)
    before = images.clone(), labels.clone(), targets.clone()
    found = jsma(trained.model, images, labels, gamma=0.2, targets=targets)
    for now, then in zip((images, labels, targets), before, strict=True):
        assert torch.equal(now, then)
    assert not images.requires_grad
    assert not found.requires_grad
    assert found.data_ptr() != images.data_ptr()


def test_an_image_that_has_arrived_or_has_nowhere_to_go_is_left_as_it_is(trained):
    images, labels = trained.images, trained.labels
    predicted = trained.model(images).argmax(1)
    assert (predicted != labels).any()
    for targets in (predicted, labels):
        found = jsma(trained.model, images, labels, gamma=0.2, targets=targets)
        assert torch.equal(found, images)


@pytest.mark.parametrize(
    ("weight", "image", "theta", "expected"),
    [
        pytest.param([1, 1, 1], [1, 0, 1], 1, [1, 0, 1], id="one feature is not at its end"),
        pytest.param([1, 1, 1], [1, 0, 0], 1, [1, 1, 1], id="two are not"),
        pytest.param([-1, -1, -1], [0, 0, 0], 1, [0, 0, 0], id="none favours the target"),
        pytest.param([-1, -1, -1], [1, 0, 1], -1, [0, 0, 0], id="less favours the target"),
        pytest.param([-1, -2, -3], [1, 1, 1], -1, [1, 0, 0], id="the two that favour it most"),
        pytest.param([3, -2, -4], [0, 0, 0], 1, [1, 1, 0], id="a pair makes up for one of it"),
        pytest.param([3, -3, -4], [0, 0, 0], 1, [0, 0, 0], id="or not"),
    ],
)
def test_a_search_ends_when_no_pair_is_left(weight, image, theta, expected):
    opposite = [-one for one in weight]
    model = Linear([[float(one) for one in row] for row in (opposite, weight)], [0.0, -1e6])
    images = torch.tensor(image, dtype=torch.float32).view(1, 1, 1, 3)
    labels, targets = torch.tensor([0]), torch.tensor([1])
    found = jsma(model, images, labels, gamma=1, targets=targets, theta=theta, outputs="logits")
    assert found.flatten().tolist() == expected


def test_a_finished_image_is_not_asked_about_again():
    # One pair is enough for the first image, two for the second, none for the third.
    model = Linear([[0.0] * 8, [1.0, 1, 1, 1, 0, 0, 0, 0]], [0.0, -1.5])
    model.weight[0] -= 0.01
    images = torch.zeros(3, 1, 2, 4)
    model.bias = torch.tensor([0.0, -3.5])
    images[0, 0, 0, :2] = 1
    images[2, 0, 0] = 1
    labels, targets = torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)
    found = jsma(model, images, labels, gamma=1, targets=targets)
    assert changed(found, images).tolist() == [2, 4, 0]
    assert model.asked == [3, 2, 1]


@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 4)], ids=str)
def test_an_image_s_result_is_its_own_whatever_the_batch(trained, shape, outputs):
    if shape == (1, 8, 8):
        model = trained.model
        images, labels, targets = every_target(model, trained.images, trained.labels, count=4)
    else:
        model, images = untrained(shape, dtype=torch.float32)
        labels = model(images).argmax(1)
        targets = (labels + 2) % 5
    options = {"gamma": 0.25, "outputs": outputs}
    together = jsma(model, images, labels, targets=targets, **options)
    assert (changed(together, images) > 0).double().mean() > 0.5
    for row in range(len(images)):
        one = slice(row, row + 1)
        alone = jsma(model, images[one], labels[one], targets=targets[one], **options)
        assert torch.equal(alone[0], together[row])


def test_the_memory_does_not_change_the_result(trained):
    images, labels, targets = every_target(trained.model, trained.images, trained.labels, count=40)
    small, large = (
        jsma(trained.model, images, labels, gamma=0.2, targets=targets, memory=memory)
        for memory in (1, 256)
    )
    # More rows than fit into the smaller one.
    assert len(images) * 64 * 128 > 2**20
    assert torch.equal(small, large)


def test_no_images_are_no_error(trained):
    none = trained.images[:0], trained.labels[:0]
    found = jsma(trained.model, *none, gamma=0.2, targets=trained.labels[:0])
    assert found.shape == (0, 1, 8, 8)


def at_random(model, images, targets, *, pairs):
    """What pairs of features drawn at random reach, each image until it is there."""
    x = images.flatten(1).clone()
    orders = torch.rand(x.shape, generator=seeded(7)).masked_fill_(x == 1, 2).argsort(1)
    for pair in orders[:, : 2 * pairs].split(2, dim=1):
        wrong = model(x.view_as(images)).argmax(1) != targets
        x[wrong] = x.scatter(1, pair, 1)[wrong]
    return x.view_as(images)


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_it_succeeds_far_more_often_than_random_pairs_of_features(trained, outputs):
    model = trained.model
    images, labels, targets = every_target(model, trained.images, trained.labels, count=30)
    found = jsma(model, images, labels, gamma=0.4, targets=targets, outputs=outputs)
    blind = at_random(model, images, targets, pairs=12)
    ours, theirs = (
        (model(attacked).argmax(1) == targets).double().mean() for attacked in (found, blind)
    )
    assert ours > 0.9
    assert ours > theirs + 0.5


def test_success_rises_with_the_budget_and_what_has_succeeded_stays(trained):
    model = trained.model
    images, labels, targets = every_target(model, trained.images, trained.labels, count=10)
    before, rates = None, []
    for gamma in (0, 0.04, 0.08, 0.2):
        found = jsma(model, images, labels, gamma=gamma, targets=targets)
        there = model(found).argmax(1) == targets
        if before is not None:
            assert torch.equal(found[before[1]], before[0][before[1]])
        before = found, there
        rates.append(there.double().mean().item())
    assert rates[0] == 0
    assert rates == sorted(set(rates))


WRONG = [
    ({"gamma": -0.1}, ValueError, r"gamma = -0\.1 is outside \[0, 1\]"),
    ({"gamma": 1.01}, ValueError, r"gamma = 1\.01 is outside"),
    ({"gamma": math.nan}, ValueError, "gamma = nan is outside"),
    ({"gamma": 0.03}, ShareError, "gamma = 0.03 of an image's 64 values is 1, and 2 .* 2/64 or"),
    ({"theta": 0}, ValueError, r"theta = 0 is 0 or outside \[-1, 1\]"),
    ({"theta": -1.5}, ValueError, r"theta = -1\.5 is 0 or outside"),
    ({"theta": math.nan}, ValueError, "theta = nan is 0 or outside"),
    ({"outputs": "scores"}, ValueError, "outputs = 'scores' is none of logits, softmax"),
    ({"memory": 0}, ValueError, "memory = 0 is less than 1 MiB"),
    ({"targets": 3}, TypeError, "targets are int, not an int64 tensor"),
    ({"targets": torch.zeros(4)}, TypeError, r"targets are torch\.float32, not an int64 tensor"),
    (
        {"targets": torch.zeros(5, dtype=torch.int64)},
        ValueError,
        r"targets have the shape \(5,\), the labels \(4,\)",
    ),
    ({"targets": torch.full((4,), 10)}, ValueError, "the model has 0 to 9"),
    ({"targets": torch.full((4,), -1)}, ValueError, "the model has 0 to 9"),
]


@pytest.mark.parametrize(("wrong", "kind", "said"), WRONG, ids=lambda case: str(case)[:40])
def test_what_it_cannot_do_is_an_error_that_says_why(trained, wrong, kind, said):
    options = {"gamma": 0.1, "targets": (trained.labels[:4] + 1) % 10, **wrong}
    with pytest.raises(kind, match=said):
        jsma(trained.model, trained.images[:4], trained.labels[:4], **options)
