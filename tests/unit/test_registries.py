import inspect

import pytest
import torch
from epsigma.attacks import ATTACKS
from epsigma.attacks.pgd import ascend
from epsigma.configuration import REGISTRIES
from epsigma.filters import FILTERS
from epsigma.filters.filter import Filter
from epsigma.grid import BLIND, THREATS
from epsigma.kinds import Kind, load
from epsigma.threats import GRADIENTS


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=f"{section}-{name}")
        for section, registry in REGISTRIES.items()
        for name, kind in registry.items()
    ],
)
def test_the_implementation_of_every_kind_can_be_imported(kind):
    implementation = load(kind.implementation)
    assert callable(implementation)
    assert (implementation.__module__, implementation.__name__) == tuple(
        kind.implementation.split(":")
    )
    assert kind.module == implementation.__module__


@pytest.mark.parametrize(
    ("implementation", "said"),
    [
        ("epsigma.attacks.nothing:attack", "epsigma.attacks.nothing"),
        ("epsigma.kinds:nothing", "epsigma.kinds has no 'nothing'"),
        ("nothing_at_all:nothing", "nothing_at_all"),
    ],
)
def test_what_is_not_there_is_an_import_error_that_names_it(implementation, said):
    with pytest.raises(ImportError, match=said):
        load(implementation)


def test_a_kind_without_hyper_parameters_sweeps_nothing():
    kind = Kind("package.module:name")
    assert (kind.module, kind.swept, dict(kind.parameters)) == ("package.module", None, {})


def keywords(implementation):
    """What an implementation takes by keyword alone, and its defaults."""
    found = inspect.signature(implementation).parameters.values()
    return {one.name: one.default for one in found if one.kind is one.KEYWORD_ONLY}


# --- Attacks


# A transfer hands on what it is not swept over.
@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "transfer"])
def test_an_attack_takes_its_hyper_parameters_by_keyword_with_the_registry_s_defaults(name):
    kind = ATTACKS[name]
    taken = keywords(load(kind.implementation))
    if kind.module == "epsigma.attacks.pgd":
        taken |= keywords(ascend)
    # What the stage sees to: which rows there are, what is drawn, who watches.
    given = {"generator"} if kind.random else set()
    given |= {"targets"} if kind.targeted else set()
    given |= {"on_step"} if kind.traced else set()
    own = set(kind.parameters) - {"targets"} - ({"images"} if kind.family == "fooling" else set())
    assert set(taken) == own | given
    for parameter, schema in kind.parameters.items():
        if "default" in schema and parameter in own:
            assert taken[parameter] == schema["default"]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_sweeps_its_budget_and_may_try_longer(name):
    kind = ATTACKS[name]
    assert kind.swept in kind.parameters
    assert kind.effort is None or kind.parameters[kind.effort]["type"] == "integer"
    # What does not look at the model cannot know the filter.
    assert kind.threats == (THREATS if kind.looks else (BLIND,))


# --- Filters

# A filter that does something, of each kind.
SOME = {
    "none": {},
    "gaussian": {"sigma": 1},
    **{name: {"cutoff": 0.2} for name in ("lowpass", "highpass", "bandpass")},
    "bitdepth": {"bits": 2},
    "median": {"size": 3},
    "noise": {"std": 0.1},
}


def make(name, parameters):
    """Make a filter as the workflow does: all that its schema lists, defaults filled in."""
    schema = FILTERS[name].parameters
    defaults = {key: inner["default"] for key, inner in schema.items() if "default" in inner}
    return load(FILTERS[name].implementation)(**{**defaults, **parameters})


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_says_how_it_is_attacked(name):
    assert FILTERS[name].gradient in GRADIENTS


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_is_a_filter_that_draws_from_a_generator_if_it_draws(name):
    implementation = load(FILTERS[name].implementation)
    assert issubclass(implementation, Filter)
    taken = set(keywords(implementation))
    assert taken - {"generator"} == set(FILTERS[name].parameters)
    assert ("generator" in taken) == FILTERS[name].random


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "none"])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (9, 14), (12, 100)], ids=str)
def test_a_filter_that_passes_all_changes_nothing(name, size):
    # Values of data sets, and any: an attacker's.
    generator = torch.Generator().manual_seed(0)
    some = torch.rand(3, 2, *size, generator=generator)
    images = torch.cat([some, (some * 255).round() / 255])
    wide = make(name, {**SOME[name], **FILTERS[name].passes_all})
    torch.testing.assert_close(wide(images), images, atol=1e-5, rtol=0)
    assert (make(name, SOME[name])(images) - images).abs().max() > 0.1


def test_what_passes_all_overrides_whatever_a_configuration_says():
    stubborn = {"dc": "drop", "shape": "butterworth", "order": 3, "post": "rescale", "width": 0.05}
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for name in ("lowpass", "highpass", "bandpass"):
        own = {key: value for key, value in stubborn.items() if key in FILTERS[name].parameters}
        wide = make(name, {"cutoff": 0.2, **own, **FILTERS[name].passes_all})
        torch.testing.assert_close(wide(images), images, atol=1e-5, rtol=0)
