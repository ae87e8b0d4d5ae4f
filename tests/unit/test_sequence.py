from pathlib import Path

import pytest
import torch
import yaml
from epsigma.defence import Expectation, build_target, defend
from epsigma.filters.bitdepth import BitDepth
from epsigma.filters.build import build_filter
from epsigma.filters.filter import Filter
from epsigma.filters.gaussian import Gaussian
from epsigma.filters.jpeg import Jpeg
from epsigma.filters.median import Median
from epsigma.filters.noise import GaussianNoise
from epsigma.filters.reformer import Reformer
from epsigma.filters.sequence import Sequence
from epsigma.filters.surrogate import Bpda, attackable
from epsigma.plan.modules import filter_modules
from epsigma.plan.settings import find_parts, settings
from epsigma.probing.filters import DRAWS, conformance
from epsigma.storage import digest as provenance
from epsigma.storage.digest import code_digest
from epsigma.study import expand, validate
from epsigma.study.references import find_attack_kind
from torch import nn

KINDS = {
    "gaussian": ("epsigma.filters.gaussian:Gaussian", {"sigma": 0.8}, "exact"),
    "bitdepth": ("epsigma.filters.bitdepth:BitDepth", {"bits": 2}, "bpda"),
    "jpeg": ("epsigma.filters.jpeg:Jpeg", {"quality": 25}, "bpda"),
    "median": ("epsigma.filters.median:Median", {"size": 3}, "bpda"),
    "noise": ("epsigma.filters.noise:GaussianNoise", {"std": 0.1}, "exact"),
}


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def part(kind):
    implementation, parameters, gradient = KINDS[kind]
    made = {"implementation": implementation, "parameters": parameters, "gradient": gradient}
    return made | ({"random": True} if kind == "noise" else {})


def told(first, *then):
    """How to make filters one after the other."""
    return {**part(first), "then": [part(kind) for kind in then]}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- What it does


@pytest.mark.parametrize(
    "kinds",
    [
        ("gaussian", "bitdepth"),
        ("bitdepth", "gaussian"),
        ("bitdepth", "median"),
        ("jpeg", "median", "gaussian"),
    ],
)
def test_a_sequence_is_the_composition_of_its_filters(kinds):
    given = images(3, 1, 9, 14)
    expected = given
    for kind in kinds:
        expected = build_filter(part(kind))(expected)
    found = build_filter(told(*kinds))
    assert isinstance(found, Sequence)
    assert not found.training
    assert torch.equal(found(given), expected)
    attacked = given.clone().requires_grad_()
    assert torch.equal(found(attacked).detach(), expected)


def test_the_order_matters():
    given = images(3, 1, 9, 14)
    one, other = (
        build_filter(told("gaussian", "bitdepth")),
        build_filter(told("bitdepth", "gaussian")),
    )
    # Rounded last there are four values; blurred last there are more.
    assert len(one(given).unique()) <= 4 < len(other(given).unique())


def test_one_filter_alone_is_no_sequence():
    assert isinstance(build_filter(part("gaussian")), Gaussian)
    assert isinstance(build_filter({**part("gaussian"), "then": []}), Gaussian)
    alone = build_filter(part("gaussian"))
    assert alone.parts == (alone,)


def test_its_parts_are_the_filters_in_their_order():
    found = build_filter(told("jpeg", "median", "gaussian"))
    assert [type(one) for one in found.parts] == [Jpeg, Median, Gaussian]


def test_its_formula_is_that_of_each():
    given = images(2, 1, 9, 14).double()
    found = build_filter(told("median", "gaussian")).formula(given)
    expected = Gaussian(sigma=0.8).formula(Median(size=3).formula(given))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("filters", "ways"), [(0, 0), (2, 1), (1, 2)])
def test_a_way_to_attack_each_is_wanted(filters, ways):
    with pytest.raises(ValueError, match=f"^{filters} filters and {ways} ways to attack them$"):
        Sequence([Gaussian(sigma=1)] * filters, [Gaussian(sigma=1)] * ways)


def test_a_part_that_nobody_has_said_how_to_attack_filters_and_is_not_differentiated():
    settings = told("gaussian", "median")
    settings["then"][0]["gradient"] = None
    found, given = build_filter(settings), images(3, 1, 9, 14)
    assert torch.equal(found(given), build_filter(told("gaussian", "median"))(given))
    said = r"^Median is declared neither differentiable nor handled"
    with pytest.raises(ValueError, match=said):
        found(given.requires_grad_())


# --- Its gradient


def gradient_of(function, given, weight):
    x = given.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((function(x) * weight).sum(), x)
    return gradient


def test_each_part_has_the_gradient_that_an_attacker_takes_of_it():
    given, weight = images(3, 1, 9, 14), images(3, 1, 9, 14, seed=1)
    found = gradient_of(build_filter(told("gaussian", "bitdepth")), given, weight)
    # Rounding lets the gradient pass, as if it were not there; the Gaussian has its own.
    torch.testing.assert_close(found, gradient_of(Gaussian(sigma=0.8), given, weight))
    found = gradient_of(build_filter(told("bitdepth", "median")), given, weight)
    rounded = BitDepth(bits=2)(given)
    torch.testing.assert_close(found, gradient_of(Median(size=3).surrogate, rounded, weight))


def test_by_its_own_gradient_nothing_would_pass_rounding():
    given, weight = images(3, 1, 9, 14), images(3, 1, 9, 14, seed=1)
    parts = [Gaussian(sigma=0.8), BitDepth(bits=2)]
    assert not gradient_of(nn.Sequential(*parts), given, weight).any()
    ways = [attackable(parts[0], "exact"), attackable(parts[1], "bpda")]
    assert isinstance(ways[1], Bpda)
    assert gradient_of(Sequence(parts, ways), given, weight).any()


def test_an_aware_attacker_takes_the_gradients_of_the_parts(trained):
    settings = {"filter": told("bitdepth", "gaussian")}
    model = build_target(settings, trained.model, seeded())
    through = build_filter(settings["filter"])
    assert torch.equal(model(trained.images), trained.model(through(trained.images)))
    weight = images(360, 10)
    found = gradient_of(model, trained.images, weight)
    expected = gradient_of(
        lambda x: trained.model(Gaussian(sigma=0.8)(x)), BitDepth(bits=2)(trained.images), weight
    )
    torch.testing.assert_close(found, expected)


# --- Parts that draw


def test_parts_that_draw_do_so_from_one_generator():
    given = images(3, 1, 9, 14)
    found = build_filter(told("noise", "gaussian", "noise"), seeded())
    first, again = found(given), found(given)
    assert not torch.equal(first, again)
    assert torch.equal(build_filter(told("noise", "gaussian", "noise"), seeded())(given), first)
    # Both draw: the second does not repeat the first.
    generator = seeded()
    one, two = (GaussianNoise(std=0.1, generator=generator) for _ in range(2))
    assert torch.equal(first, two(Gaussian(sigma=0.8)(one(given))))


def test_an_attacker_averages_over_a_part_s_draws(trained):
    settings = {"filter": told("gaussian", "noise"), "eot_samples": 4}
    model = build_target(settings, trained.model, seeded())
    assert isinstance(model, Expectation)
    assert model.samples == 4
    generator = seeded()
    noise = GaussianNoise(std=0.1, generator=generator)
    smooth = Gaussian(sigma=0.8)(trained.images)
    expected = sum(trained.model(noise(smooth)) for _ in range(4)) / 4
    torch.testing.assert_close(model(trained.images), expected)


# --- Conformance goes through the parts


class Off(Filter):
    """A filter that is not what its formula says."""

    def __init__(self, by, deviation=0.0):
        super().__init__()
        self.by = by
        self.deviation = deviation

    def forward(self, given):
        return given + self.by + self.deviation * torch.randn_like(given)

    def formula(self, given):
        return given


def sequence(*filters):
    return Sequence(filters, filters)


def probes():
    return images(5, 1, 9, 14)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_part_that_is_not_its_formula_is_found_wherever_it_is(at):
    parts = [Gaussian(sigma=1), BitDepth(bits=3)]
    parts.insert(at, Off(0.25))
    found = conformance(sequence(*parts), probes())
    assert found["formula_error"] == pytest.approx(0.25, abs=1e-5)
    assert found["standard_error"] == 0


def test_parts_that_are_their_formulas_conform_though_rounding_follows_a_blur():
    # Held as one, a hair before rounding is a whole level after it.
    found = conformance(build_filter(told("gaussian", "bitdepth")), probes())
    assert found["formula_error"] < 1e-5


def test_a_part_that_draws_is_held_against_its_mean_and_its_deviation():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = conformance(sequence(Gaussian(sigma=1), Off(0, deviation=0.2)), probes())
    assert found["deviation"] == 0.2
    assert found["measured_deviation"] == pytest.approx(0.2, rel=0.02)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        biased = conformance(sequence(Off(0.1, deviation=0.2), Gaussian(sigma=1)), probes())
    assert biased["standard_error"] == 0.2 / DRAWS**0.5
    assert biased["formula_error"] > 6 * biased["standard_error"]


def test_each_part_is_held_against_its_formula_on_what_the_one_before_returns():
    seen = []

    class Noting(Off):
        def forward(self, given):
            seen.append(given)
            return given

    conformance(sequence(Gaussian(sigma=1), BitDepth(bits=3), Noting(0)), probes())
    (given,) = seen
    assert torch.equal(given, BitDepth(bits=3)(Gaussian(sigma=1)(probes())))


def test_the_one_that_is_farthest_is_told_of():
    found = conformance(sequence(Off(0.1), Off(0.3), Off(0.2)), probes())
    assert found["formula_error"] == pytest.approx(0.3, abs=1e-6)


# --- What the configuration says of it

STUDY = """
datasets: [{kind: digits}]
autoencoders: [{kind: convolutional, name: ae, channels: 4, pool: null}]
models: [{kind: mlp}]
attacks: [{kind: fgsm, eps: [0, 0.1]}]
filters:
  - kind: gaussian
    sigma: [0.5, 1]
    then: [{kind: median, size: 3}, {kind: noise, std: 0.1}]
  - kind: bitdepth
    name: reformed
    bits: [3]
    then: [{kind: reformer, autoencoder: ae, passes: 2}]
  - {kind: gaussian, name: alone, sigma: [1]}
"""


@pytest.fixture(scope="module")
def study():
    return expand(validate(yaml.safe_load(STUDY)))


def test_settings_have_what_comes_then_with_its_gradient_and_defaults(study):
    assert settings(study, "filters", "gaussian", "sigma~0.5") == {
        "implementation": "epsigma.filters.gaussian:Gaussian",
        "parameters": {"sigma": 0.5, "truncate": 4, "border": "reflect"},
        "gradient": "exact",
        "then": [
            {
                "implementation": "epsigma.filters.median:Median",
                "parameters": {"size": 3, "border": "reflect"},
                "gradient": "bpda",
            },
            {
                "implementation": "epsigma.filters.noise:GaussianNoise",
                "parameters": {"std": 0.1},
                "random": True,
                "gradient": "exact",
            },
        ],
    }
    assert not {"then", "gradient"} & set(settings(study, "filters", "alone"))


def test_what_is_made_of_the_settings_is_the_sequence(study):
    made = build_filter(settings(study, "filters", "gaussian", "sigma~0.5"), seeded())
    assert [type(one) for one in made.parts] == [Gaussian, Median, GaussianNoise]
    assert made.parts[2].generator is not None


def test_an_autoencoder_of_a_part_is_found(study):
    made = settings(study, "filters", "reformed", "bits~3")
    (found,) = find_parts(made)
    assert found == {
        "autoencoder": "ae",
        "implementation": "epsigma.autoencoders.convolutional:Convolutional",
        "parameters": {"channels": 4, "pool": None},
    }
    assert made["then"][0]["parameters"]["autoencoder"] is found


@pytest.mark.parametrize(
    ("name", "gradient", "random"),
    [("gaussian", "bpda", True), ("reformed", "bpda", False), ("alone", "exact", False)],
)
def test_a_sequence_is_bpda_or_random_if_a_part_is(study, name, gradient, random):
    assert study.find("filters", name).gradient == gradient
    assert study.find("filters", name).is_random is random


def test_the_modules_are_those_of_the_parts_and_of_their_autoencoders(study):
    filters = "epsigma.filters"
    assert filter_modules(study, "gaussian") == [
        f"{filters}.gaussian",
        f"{filters}.median",
        f"{filters}.noise",
    ]
    assert filter_modules(study, "reformed") == [
        f"{filters}.bitdepth",
        f"{filters}.reformer",
        "epsigma.autoencoders.convolutional",
    ]
    assert find_attack_kind(study, study.find("attacks", "fgsm")).queries_model


def test_the_digest_changes_with_a_part_s_module(study, monkeypatch, tmp_path):
    def digest(name):
        for cached in (provenance.code_digest, provenance._read, provenance._source):
            cached.cache_clear()
        return code_digest("epsigma.stages.filter", *filter_modules(study, name))

    before = {name: digest(name) for name in ("gaussian", "alone")}
    own = provenance._source

    def edited(module):
        if module != "epsigma.filters.median":
            return own(module)
        path = tmp_path / "median.py"
        path.write_text(f"{own(module).read_text()}\nEDITED = True\n")
        return path

    edited.cache_clear = own.cache_clear
    monkeypatch.setattr(provenance, "_source", edited)
    after = {name: digest(name) for name in before}
    monkeypatch.undo()
    digest("alone")
    assert after["gaussian"] != before["gaussian"]
    assert after["alone"] == before["alone"]


# --- The reformer


class Halving(nn.Module):
    """An autoencoder that darkens."""

    def forward(self, given):
        return given / 2


@pytest.mark.parametrize(("passes", "expected"), [(1, 0.5), (2, 0.25), (3, 0.125)])
def test_the_reformer_passes_images_through_its_autoencoder_as_often_as_it_is_told(
    passes, expected
):
    given = images(3, 1, 9, 14)
    reformer = Reformer(passes=passes, autoencoder=Halving())
    torch.testing.assert_close(reformer(given), expected * given)
    torch.testing.assert_close(reformer.formula(given.double()), expected * given.double())
    found = gradient_of(defend(reformer, nn.Flatten(), gradient="exact"), given, 1.0)
    torch.testing.assert_close(found, torch.full_like(given, expected))


@pytest.mark.parametrize("passes", [0, -1])
def test_no_pass_is_refused(passes):
    with pytest.raises(ValueError, match=f"^passes = {passes} is less than 1$"):
        Reformer(passes=passes, autoencoder=Halving())


def test_the_sources_that_digests_read_are_those_of_this_project():
    assert provenance._source("epsigma.filters.sequence") == (
        Path(__file__).parents[2] / "workflow" / "epsigma" / "filters" / "sequence.py"
    )
