import inspect

import pytest
import torch
from epsigma.detectors.detector import Detector
from epsigma.filters.filter import Filter
from epsigma.filters.surrogate import GRADIENTS
from epsigma.kinds import AttackKind, DatasetKind, Kind
from epsigma.loading import load
from epsigma.registry import REGISTRIES
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.autoencoders import AUTOENCODERS
from epsigma.registry.detectors import DETECTORS
from epsigma.registry.filters import FILTERS
from epsigma.registry.trainings import TRAININGS
from epsigma.training.objective import Objective
from epsigma.vocabulary import BLIND, THREATS
from filter_cases import CASES
from torch import nn
from untrained import autoencoder


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=f"{section}-{name}")
        for section, registry in {**REGISTRIES, "training": TRAININGS}.items()
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
    assert (kind.module, kind.swept, dict(kind.schemas)) == ("package.module", None, {})


def test_entries_of_old_may_declare_no_parameters_but_not_some():
    assert DatasetKind("package.module:name", parameters={}) == DatasetKind("package.module:name")
    with pytest.raises(ValueError, match=r"'steps': .* are a class now, .* CONTRIBUTING\.md"):
        AttackKind("package.module:name", parameters={"steps": {"type": "integer"}})


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
    # What the stage sees to: which rows there are, what is drawn, who watches.
    given = {"generator"} if kind.random else set()
    given |= {"targets"} if kind.targeted else set()
    given |= {"on_step"} if kind.traced else set()
    given |= {"on_part", "progress"} if kind.ensemble else set()
    own = set(kind.schemas) - {"targets"} - ({"images"} if kind.family == "fooling" else set())
    assert set(taken) == own | given
    for parameter, schema in kind.schemas.items():
        if "default" in schema and parameter in own:
            assert taken[parameter] == schema["default"]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_sweeps_its_budget_and_may_try_longer(name):
    kind = ATTACKS[name]
    assert kind.swept in kind.schemas
    assert kind.spends is None or kind.schemas[kind.spends]["type"] == "integer"
    # What does not look at the model cannot know the filter.
    assert kind.threats == (THREATS if kind.queries_model else (BLIND,))


# --- Filters

# A filter that does something, of each kind.
SOME = {
    "none": {},
    "identity": {},
    "gaussian": {"sigma": 1},
    **{name: {"cutoff": 0.2} for name in ("lowpass", "highpass", "bandpass")},
    "bitdepth": {"bits": 2},
    "jpeg": {"quality": 10},
    "median": {"size": 3},
    "noise": {"std": 0.1},
    "reformer": {"passes": 1},
    "pca": {"components": 2},
    **CASES,
}


def make(name, parameters):
    """Make a filter as the workflow does: all that its schema lists, defaults filled in."""
    schema = FILTERS[name].schemas
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
    assert taken - {"generator"} == set(FILTERS[name].schemas)
    assert ("generator" in taken) == FILTERS[name].random


@pytest.mark.parametrize("name", [name for name in FILTERS if FILTERS[name].identity_parameters])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (9, 14), (12, 100)], ids=str)
def test_a_filter_that_passes_all_changes_nothing(name, size):
    # Values of data sets, and any: an attacker's.
    generator = torch.Generator().manual_seed(0)
    some = torch.rand(3, 2, *size, generator=generator)
    images = torch.cat([some, (some * 255).round() / 255])
    wide = make(name, {**SOME[name], **FILTERS[name].identity_parameters})
    torch.testing.assert_close(wide(images), images, atol=1e-5, rtol=0)
    assert (make(name, SOME[name])(images) - images).abs().max() > 0.1


def test_a_filter_without_a_setting_that_passes_all_is_one_that_has_none():
    without = {name for name in SOME if not FILTERS[name].identity_parameters}
    assert without == {
        *("none", "identity", "jpeg", "reformer", "pca"),
        *("nonlocal_means", "kmeans", "equalize", "shield"),
    }
    assert set(SOME) == set(FILTERS)


def test_what_passes_all_overrides_whatever_a_configuration_says():
    stubborn = {"dc": "drop", "shape": "butterworth", "order": 3, "post": "rescale", "width": 0.05}
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for name in ("lowpass", "highpass", "bandpass"):
        own = {key: value for key, value in stubborn.items() if key in FILTERS[name].schemas}
        wide = make(name, {"cutoff": 0.2, **own, **FILTERS[name].identity_parameters})
        torch.testing.assert_close(wide(images), images, atol=1e-5, rtol=0)


# --- Autoencoders, detectors and training


@pytest.mark.parametrize("name", AUTOENCODERS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 9, 14), (3, 32, 32)], ids=str)
def test_an_autoencoder_maps_images_to_images_of_their_shape_and_range(name, shape):
    images = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = load(AUTOENCODERS[name].implementation)(shape).eval()
    before, found = images.clone(), made(images)
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    assert 0 <= found.min() < found.max() <= 1
    assert torch.equal(images, before)
    assert sum(one.numel() for one in made.parameters()) > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_scores_each_image_apart_and_an_attacker_can_follow_it(trained, name):
    kind = DETECTORS[name]
    implementation = load(kind.implementation)
    assert issubclass(implementation, Detector)
    assert set(keywords(implementation)) == set(kind.schemas)
    needs = {kind.autoencoder: autoencoder()} if kind.autoencoder else {}
    inner = {kind.filters: [nn.AvgPool2d(3, 1, 1)]} if kind.filters else {}
    made = implementation(**needs, **inner)

    def score(images):
        return made(images, trained.model(images), trained.model)

    images = trained.images[:7].clone().requires_grad_()
    scores = score(images)
    assert scores.shape == (7,)
    assert scores.min() >= 0
    assert len(scores.unique()) == 7
    alone = torch.cat([score(image[None]) for image in images])
    torch.testing.assert_close(alone, scores, atol=1e-6, rtol=1e-4)
    (gradient,) = torch.autograd.grad(scores.sum(), images)
    assert (gradient != 0).flatten(1).any(1).all()


@pytest.mark.parametrize("name", TRAININGS)
def test_a_kind_of_training_is_an_objective_with_a_teacher_if_it_says_so(name):
    kind = TRAININGS[name]
    implementation = load(kind.implementation)
    assert issubclass(implementation, Objective)
    taken = keywords(implementation)
    assert set(taken) - {"teacher"} == set(kind.schemas)
    assert ("teacher" in taken) == kind.teacher
    if kind.teacher:
        given = dict.fromkeys(kind.schemas, 1)
        assert isinstance(implementation.of_teacher(**given), Objective)
