"""What is run on a device and on the CPU, to compare: attacks, filters and a step of training."""

import torch
from epsigma.attacks.craft import make_parts, rows_of
from epsigma.defence import defend
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.build import build_filter
from epsigma.filters.gaussian import Gaussian
from epsigma.models.cnn import CNN
from epsigma.models.preprocessing import Normalize, Preprocessed, ResizeCrop
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.filters import FILTERS
from epsigma.training.adversarial import Adversarial
from epsigma.training.filtered import Filtered
from epsigma.training.standard import Standard
from filter_cases import CASES
from torch import nn

SHAPE, CLASSES, N = (3, 12, 12), 4, 5
# Filters that take thousands of operations.
SLOW = ("total_variation", "total_variation_dropout", "shield")
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
    **{name: one for name, one in CASES.items() if name not in SLOW},
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


def settings(kind, parameters):
    """As a job has them."""
    given = {
        key: parameters.get(key, about.get("default"))
        for key, about in kind.schemas.items()
        if key != "targets"
    }
    made = {"implementation": kind.implementation, "parameters": given}
    if kind.random:
        made["random"] = True
    return made


def run_attack(name, device, generator):
    """What an attack makes on a device; all of it has to lie there."""
    how = settings(ATTACKS[name], QUICK[name])
    how |= {
        "ensemble": ATTACKS[name].ensemble,
        "targets": "all" if name == "jsma" else "untargeted",
    }
    images, labels = some()
    rows = rows_of(how, labels.to(device), CLASSES)
    network = make_network().to(device)
    parts = list(make_parts(how, generator, network, images.to(device), rows))
    assert all(value.device == device for part in parts for value in part.measures.values())
    return torch.cat([part.images for part in parts])


def run_filter(name, device, generator):
    """Filtered images, and the gradient through filter and network."""
    kind = FILTERS[name]
    module = build_filter(settings(kind, OF_FILTERS[name]), generator)
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


OBJECTIVES = {
    "standard": Standard(),
    "filtered": Filtered(filters=[Gaussian(sigma=0.5), BitDepth(bits=4)]),
    **{one: Adversarial(method=one, eps=0.1, steps=2) for one in ("fgsm", "pgd", "fast")},
}


def run_training(name, device):
    """The weights, one after the other, after a step of training."""
    images, labels = some()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = make_network().requires_grad_().train().to(device)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        loss, logits = OBJECTIVES[name](network, images.to(device), labels.to(device), progress=0.5)
        assert logits.device == device
        loss.backward()
        optimizer.step()
    return torch.cat([one.detach().flatten() for one in network.parameters()])
