"""Everything stays on the device that it is given, here no CPU, and gives the same there."""

from functools import partial

import pytest
import torch
from device_cases import (
    OBJECTIVES,
    OF_FILTERS,
    QUICK,
    N,
    make_network,
    run_attack,
    run_filter,
    run_training,
    settings,
    some,
)
from epsigma.filters.build import build_filter
from epsigma.loading import load
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.filters import FILTERS
from epsigma.scoring import FilteredClassifier, score
from placement import MixedDevicesError, Placed, PlacedGenerator, placing


def both(run):
    """Run on the CPU and on the device: what comes of `run(device, generator)` there."""
    expected = run(torch.device("cpu"), torch.Generator().manual_seed(2))
    with placing() as device:
        found = run(device, PlacedGenerator().manual_seed(2))
        assert isinstance(found, Placed)
        return expected, found.cpu()


@pytest.mark.parametrize("name", QUICK)
def test_an_attack_stays_on_its_device(name):
    expected, found = both(partial(run_attack, name))
    assert not torch.equal(expected[:N], some()[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", OF_FILTERS)
def test_a_filter_and_its_gradient_stay_on_their_device(name):
    expected, found = both(partial(run_filter, name))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_of_training_stays_on_its_device(name):
    expected, found = both(lambda device, _: run_training(name, device))
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
