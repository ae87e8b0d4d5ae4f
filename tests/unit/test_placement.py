"""Everything stays on the device that it is given, here no CPU, and gives the same there."""

import pytest
import torch
from epsigma.attacks.craft import make_parts, rows_of
from epsigma.defence import defend
from epsigma.filters.build import build_filter
from epsigma.loading import load
from epsigma.models.cnn import CNN
from epsigma.models.preprocessing import Normalize, Preprocessed, ResizeCrop
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.filters import FILTERS
from epsigma.scoring import FilteredClassifier, score
from epsigma.training.adversarial import Adversarial
from epsigma.training.standard import Standard
from filter_cases import CASES
from placement import MixedDevicesError, Placed, PlacedGenerator, placing
from torch import nn

SHAPE, CLASSES, N = (3, 12, 12), 4, 5
# What makes an attack of a kind quick.
QUICK = {
    "fgsm": {"eps": 0.1},
    "pgd": {"eps": 0.1, "steps": 3},
    "pgd_l2": {"eps": 1.0, "steps": 3},
    "apgd": {"eps": 0.1, "steps": 4},
    "apgd_l2": {"eps": 1.0, "steps": 4},
    "autoattack": {"eps": 0.1, "steps": 3, "queries": 5},
    "square": {"eps": 0.1, "queries": 10},
    "square_l2": {"eps": 1.0, "queries": 10},
    "hopskipjump": {"eps": 0.9, "queries": 60},
    "fab": {"eps": 0.9, "steps": 5},
    "jsma": {"gamma": 0.05, "theta": 1.0},
    "carlini_wagner": {
        "kappa": 0.0,
        "steps": 10,
        "search_steps": 2,
        "initial_c": 10.0,
        "learning_rate": 0.1,
    },
    "ddn": {"kappa": 0.0, "steps": 20, "gamma": 0.3},
    "fmn": {"kappa": 0.0, "steps": 20},
    "fmn_l0": {"kappa": 0.0, "steps": 30, "step_size": 5.0},
    "sign_noise": {"eps": 0.1},
    "uniform_noise": {"eps": 0.1},
    "l2_noise": {"eps": 0.5},
    "feature_noise": {"gamma": 0.1, "theta": 0.5},
}
OF_FILTERS = {
    "gaussian": {"sigma": 1.0},
    "lowpass": {"cutoff": 0.2},
    "highpass": {"cutoff": 0.1},
    "bandpass": {"cutoff": 0.2},
    "bitdepth": {"bits": 2},
    "jpeg": {"quality": 50},
    "median": {"size": 3},
    "noise": {"std": 0.1},
    # Without a solver of thousands of operations, and four codecs.
    **{name: one for name, one in CASES.items() if name not in ("total_variation", "shield")},
}


def make_network(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cnn = CNN((3, 10, 10), CLASSES, channels=2, hidden=8).requires_grad_(False)
        noise = torch.randn(50, 3, 10, 10)
    # Every class is somewhere, and little leads from one to another.
    last = [one for one in cnn.modules() if isinstance(one, nn.Linear)][-1]
    last.bias -= cnn(noise).mean(0)
    front = ResizeCrop(SHAPE, resize=11, crop=10), Normalize(0.5, 0.25, 3)
    return Preprocessed(cnn, *front).eval()


def some():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(N, *SHAPE, generator=generator)
    # What is misclassified already, some attacks leave alone.
    return images, make_network()(images).argmax(1)


def both(run):
    """Run on the CPU and on the device: what comes of `run(device, generator)` there."""
    expected = run(torch.device("cpu"), torch.Generator().manual_seed(2))
    with placing() as device:
        found = run(device, PlacedGenerator().manual_seed(2))
        assert isinstance(found, Placed)
        return expected, found.cpu()


def settings(kind, parameters):
    """As a job has them."""
    given = {
        key: parameters.get(key, about.get("default"))
        for key, about in kind.parameters.items()
        if key != "targets"
    }
    made = {"implementation": kind.implementation, "parameters": given}
    if kind.random:
        made["random"] = True
    return made


@pytest.mark.parametrize("name", QUICK)
def test_an_attack_stays_on_its_device(name):
    images, labels = some()
    kind = ATTACKS[name]
    how = settings(kind, QUICK[name])
    how |= {"ensemble": kind.ensemble, "targets": "all" if name == "jsma" else "untargeted"}

    def run(device, generator):
        network = make_network().to(device)
        rows = rows_of(how, labels.to(device), CLASSES)
        parts = list(make_parts(how, generator, network, images.to(device), rows))
        assert all(value.device == device for part in parts for value in part.measures.values())
        return torch.cat([part.images for part in parts])

    expected, found = both(run)
    assert not torch.equal(expected[:N], images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", OF_FILTERS)
def test_a_filter_and_its_gradient_stay_on_their_device(name):
    kind = FILTERS[name]
    how = settings(kind, OF_FILTERS[name])

    def run(device, generator):
        module = build_filter(how, generator)
        filtered = module(some()[0].to(device))
        x = some()[0].to(device).requires_grad_()
        defended = defend(
            module,
            make_network().to(device),
            gradient=kind.gradient,
            eot_samples=2 if kind.random else None,
        )
        (gradient,) = torch.autograd.grad(defended(x).logsumexp(1).sum(), x)
        assert gradient.device == device
        return filtered

    expected, found = both(run)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_scoring_filters_on_the_device_and_classifies_on_the_cpu():
    images, labels = some()
    how = settings(FILTERS["gaussian"], {"sigma": 1.0})
    expected = score(
        FilteredClassifier(build_filter(how, torch.Generator()), make_network(), images.device),
        images,
        labels,
    )
    with placing() as device:
        module = build_filter(how, PlacedGenerator())
        model = FilteredClassifier(module, make_network(), device)
        found = score(model, images, labels)
    assert all((found[name] == expected[name]).all() for name in expected)


@pytest.mark.parametrize(
    "objective",
    [Standard(), *(Adversarial(method=one, eps=0.1, steps=2) for one in ("fgsm", "pgd", "fast"))],
    ids=["standard", "fgsm", "pgd", "fast"],
)
def test_a_step_of_training_stays_on_its_device(objective):
    images, labels = some()

    def run(device, _):
        torch.manual_seed(3)
        network = make_network().requires_grad_().train().to(device)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        loss, logits = objective(network, images.to(device), labels.to(device), progress=0.5)
        assert logits.device == device
        loss.backward()
        optimizer.step()
        return torch.cat([one.detach().flatten() for one in network.parameters()])

    with torch.random.fork_rng(devices=[]):
        expected, found = both(run)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_what_forgets_the_device_is_found():
    """Planted: labels or a part of the model on the CPU; filtered images that are not."""
    images, labels = some()
    fgsm = load(ATTACKS["fgsm"].implementation)
    how = settings(FILTERS["gaussian"], {"sigma": 1.0})
    with placing() as device:
        network, given = make_network().to(device), images.to(device)
        fgsm(network, given, labels.to(device), eps=0.1)
        with pytest.raises(MixedDevicesError):
            fgsm(network, given, labels, eps=0.1)
        network.normalize.cpu()
        with pytest.raises(MixedDevicesError):
            fgsm(network, given, labels.to(device), eps=0.1)
        # As `FilteredClassifier` would, without its `.cpu()`.
        with pytest.raises(MixedDevicesError):
            make_network()(build_filter(how, PlacedGenerator())(given))
        with pytest.raises(RuntimeError):
            given.numpy()
