"""An attack of the user's own is tried before anything is spent on it, as stages will run it."""

import sys
import types

import pytest
import torch
import yaml
from epsigma.attacks.craft import AttackError, make_set, rows_of
from epsigma.attacks.shares import ShareError
from epsigma.attacks.trial import try_attack
from epsigma.kinds import AttackKind, Count, Hyperparameters
from epsigma.plan.probes import needs_trial, tried_budget
from epsigma.stages.trial import try_own_attack
from epsigma.storage.files import read_json
from epsigma.storage.images import measure
from epsigma.study.reading import validate

MODULE, CLASSES = "attacks_of_a_user", 10


def signed(images, eps):
    return images + eps * torch.sign(images - 0.5)


def clipped(model, images, labels, *, eps):
    return signed(images, eps).clamp(0, 1)


def in_place(model, images, labels, *, eps):
    images.add_(eps * torch.sign(images - 0.5)).clamp_(0, 1)
    return images


def with_gradient(model, images, labels, *, eps):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).logsumexp(1).sum(), x)
    return (x + eps * gradient.sign()).clamp(0, 1)


def backward(model, images, labels, *, eps):
    x = images.requires_grad_()
    torch.nn.functional.cross_entropy(model(x), labels).backward()
    return (x + eps * x.grad.sign()).clamp(0, 1)


def in_float64(model, images, labels, *, eps):
    return clipped(model, images.double(), labels, eps=eps)


def drawn(model, images, labels, *, eps, generator):
    noise = torch.rand(images.shape, generator=generator) - 0.5
    return (images + 2 * eps * noise).clamp(0, 1)


def aimed(model, images, labels, *, eps, targets):
    assert (targets != labels).all()
    return clipped(model, images, labels, eps=eps)


def early(model, images, labels, *, eps, on_step=None):
    """Work on what is right only, as many do."""
    left = model(images).argmax(1) == labels
    made = images.clone()
    made[left] = signed(images[left], eps).clamp(0, 1)
    if on_step is not None:
        on_step(torch.zeros(int(left.sum())))
    return made


def fooling(model, clean, labels, *, eps):
    return clean[: len(labels)] * 0 + eps


# Attacks that are as they should be, and what their settings have beside.
GOOD = {
    clipped: {},
    in_place: {},
    with_gradient: {},
    backward: {},
    in_float64: {},
    drawn: {"random": True},
    aimed: {"targets": [3]},
    early: {"traced": True},
    fooling: {"images": 4},
}


def misspelt(model, images, labels, *, eps):
    return images + eps * torch.sign(imagess)  # noqa: F821


def misspelt_where_right(model, images, labels, *, eps):
    left = model(images).argmax(1) == labels
    return imagess if left.any() else images  # noqa: F821


def without_eps(model, images, labels):
    return images


def positional(images, labels, eps):
    return images


def for_flat(model, images, labels, *, eps):
    return images @ torch.zeros(3, 3)


def returns_tuple(model, images, labels, *, eps):
    return images, labels


def returns_numpy(model, images, labels, *, eps):
    return images.numpy()


def returns_nothing(model, images, labels, *, eps):
    images += eps


def returns_one(model, images, labels, *, eps):
    return images[:1]


def returns_flat(model, images, labels, *, eps):
    return images.flatten(1)


def returns_nan(model, images, labels, *, eps):
    return images / (images * 0)


def takes_no_on_step(model, images, labels, *, eps):
    return images


def tells_a_number(model, images, labels, *, eps, on_step=None):
    if on_step is not None:
        on_step(0.5)
    return images


def takes_no_targets(model, images, labels, *, eps):
    return images


def fooling_too_many(model, clean, labels, *, eps):
    return clean


# What is wrong with an attack, and what the message says of it.
BAD = {
    misspelt: ({}, "NameError: name 'imagess' is not defined; correct"),
    misspelt_where_right: ({}, "name 'imagess' is not defined"),
    without_eps: ({}, "unexpected keyword argument 'eps'"),
    positional: ({}, "TypeError"),
    for_flat: ({}, "RuntimeError: mat1 and mat2|RuntimeError: .*size"),
    returns_tuple: ({}, r"it returned tuple, not a tensor \(2, 1, 8, 8\)"),
    returns_numpy: ({}, "it returned ndarray, not a tensor"),
    returns_nothing: ({}, "it returned NoneType, not a tensor"),
    returns_one: ({}, r"it returned \(1, 1, 8, 8\), not a tensor \(2, 1, 8, 8\)"),
    returns_flat: ({}, r"it returned \(2, 64\), not a tensor"),
    returns_nan: ({}, "not finite"),
    takes_no_on_step: ({"traced": True}, "unexpected keyword argument 'on_step'"),
    tells_a_number: ({"traced": True}, r"on_step with float, not with a tensor \(M,\)"),
    takes_no_targets: ({"targets": [3]}, "unexpected keyword argument 'targets'"),
    drawn: ({}, "missing 1 required keyword-only argument: 'generator'"),
    fooling_too_many: ({"images": 4}, r"it returned \(360, 1, 8, 8\), not a tensor \(2, 1, 8, 8\)"),
}


@pytest.fixture(autouse=True)
def of_a_user(monkeypatch):
    """A module with these attacks, as `module:function` finds them."""
    module = types.ModuleType(MODULE)
    module.__file__ = __file__
    for attack in (*GOOD, *BAD):
        setattr(module, attack.__name__, attack)
    monkeypatch.setitem(sys.modules, MODULE, module)


def settings_of(attack, more):
    made = {"implementation": f"{MODULE}:{attack.__name__}", "parameters": {"eps": 0.1}}
    return {**made, **{name: value for name, value in more.items() if name != "traced"}}


def tried(trained, attack, more):
    generator = torch.Generator().manual_seed(0)
    arguments = generator, trained.model, trained.images, trained.labels, CLASSES
    try_attack(settings_of(attack, more), *arguments, traced="traced" in more)


@pytest.mark.parametrize("attack", GOOD, ids=lambda attack: attack.__name__)
def test_an_attack_that_can_work_passes_and_changes_nothing(trained, attack):
    before = trained.images.clone()
    tried(trained, attack, GOOD[attack])
    assert torch.equal(trained.images, before)


@pytest.mark.parametrize("attack", BAD, ids=lambda attack: attack.__name__)
def test_an_attack_that_cannot_work_is_refused_with_the_reason(trained, attack):
    more, message = BAD[attack]
    with pytest.raises(ValueError, match=message) as caught:
        tried(trained, attack, more)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("attack", [in_place, with_gradient, backward, in_float64])
def test_a_set_is_measured_against_the_images_as_they_were(trained, attack):
    before = trained.images.clone()
    rows = rows_of({}, trained.labels, CLASSES)
    generator = torch.Generator().manual_seed(0)
    made, measures = make_set(
        settings_of(attack, {}), generator, trained.model, trained.images, rows
    )
    assert torch.equal(trained.images, before)
    assert not made.requires_grad
    assert 0.09 < measures["linf"].max() <= 0.1 + 1e-6
    for name, value in measure(made, before).items():
        torch.testing.assert_close(measures[name], value)


@pytest.mark.parametrize(
    ("model", "attack", "message"),
    [
        ("epsigma.models.mlp:MLP", "clipped", None),
        ("epsigma.models.mlp:MLP", "misspelt", "attack mine: called for 2 images"),
        ("epsigma.models.mlp:MLP", "nowhere", "attack mine: .*has no 'nowhere'"),
    ],
)
def test_the_stage_names_the_attack_and_writes_only_what_passed(
    tmp_path, make_job, clean_file, model, attack, message
):
    how = {"implementation": f"{MODULE}:{attack}", "parameters": {"eps": 0.1}}
    told = {"model": {"implementation": model, "parameters": {"hidden": 4}}}
    job = make_job({**told, "attack": how, "traced": False}, model="mlp", attack="mine")
    path = tmp_path / "trial.json"
    if message is None:
        try_own_attack(job, test=str(clean_file), trial=str(path))
        assert read_json(path)["cell"] == {"model": "mlp", "attack": "mine"}
        return
    with pytest.raises(AttackError, match=message):
        try_own_attack(job, test=str(clean_file), trial=str(path))
    assert not path.exists()


def test_a_share_of_too_few_values_is_no_fault_of_the_attack_s_code(trained):
    settings = {"implementation": "epsigma.attacks.jsma:jsma", "parameters": {"gamma": 0.01}}
    arguments = trained.model, trained.images, trained.labels, CLASSES
    with pytest.raises(ShareError, match=r"gamma = 0\.01 of .* is 0, and 2 .* or more, or 0$"):
        try_attack({**settings, "targets": "all"}, torch.Generator(), *arguments)


@pytest.mark.parametrize(
    ("attack", "dataset", "budget"),
    [
        ("{kind: jsma, gamma: [0.2, 0, 0.1]}", "file, path: a.npz", 0.1),
        ("{kind: jsma, gamma: [0.2, 0, 0.1]}", "digits", None),
        ("{kind: fgsm, eps: [0.1]}", "file, path: a.npz", None),
    ],
)
def test_shares_of_images_of_unknown_size_are_tried_at_the_smallest(attack, dataset, budget):
    text = f"datasets: [{{kind: {dataset}}}]\nmodels: [{{kind: mlp}}]\nattacks: [{attack}]"
    study = validate(yaml.safe_load(f"{text}\nfilters: []"))
    (block,) = study.attacks
    assert needs_trial(study, block, study.datasets[0].name) == (budget is not None)
    if budget is not None:
        assert tried_budget(study, block.name) == f"gamma~{budget:g}"


class Eps(Hyperparameters):
    eps: float
    steps: Count = 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"swept": "epss"}, "swept = 'epss' is no hyper-parameter of m:f, which has eps, steps"),
        ({"swept": "eps", "spends": "step"}, "spends = 'step' is no hyper-parameter"),
        ({"swept": "eps", "family": "iterativ"}, "family = 'iterativ' of m:f; allowed: single"),
    ],
)
def test_an_entry_that_names_what_there_is_not_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        AttackKind("m:f", Eps, **wrong)
