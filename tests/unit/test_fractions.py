"""Numbers that a configuration writes as a/b."""

import pytest
import yaml
from epsigma.fraction import read_fraction
from epsigma.study import ConfigurationError, validate

# A study of which one place is a number.
PLACES = {
    "a budget": ("attacks: [{kind: pgd, eps: [0, HERE]}]", lambda s: s.attacks[0]["eps"][1]),
    "an option": (
        "attacks: [{kind: pgd, eps: [0.1], step_size: HERE}]",
        lambda s: s.attacks[0]["step_size"],
    ),
    "a strength": (
        "filters: [{kind: gaussian, sigma: [HERE]}]",
        lambda s: s.filters[0]["sigma"][0],
    ),
    "a part": (
        "filters: [{kind: gaussian, sigma: [1], then: [{kind: noise, std: HERE}]}]",
        lambda s: s.filters[0].then[0]["std"],
    ),
    "training": (
        "models: [{kind: mlp, training: {kind: adversarial, method: fast, eps: HERE}}]",
        lambda s: s.models[0].training["eps"],
    ),
    "a general key": (
        "models: [{kind: mlp, training: {learning_rate: HERE}}]",
        lambda s: s.models[0].training.learning_rate,
    ),
}


def study(text):
    base = """
    datasets: [{kind: digits}]
    models: [{kind: mlp}]
    attacks: [{kind: fgsm, eps: [0.1]}]
    filters: [{kind: gaussian, sigma: [1]}]
    """
    return validate({**yaml.safe_load(base), **yaml.safe_load(text)})


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("written", ["8/255", "'8 / 255'", "0.8/25.5e0"])
def test_a_fraction_is_the_number_that_it_is_of(place, written):
    text, read = PLACES[place]
    found = read(study(text.replace("HERE", written)))
    assert found == pytest.approx(0.03137254901960784, rel=1e-15)
    if written != "0.8/25.5e0":
        # Equal to the decimal, so that paths and seeds of cells are, too.
        assert found == read(study(text.replace("HERE", "0.03137254901960784")))


@pytest.mark.parametrize(
    ("written", "path"), [("1/1", "eps~1"), ("1/4", "eps~0.25"), ("0/5", "eps~0")]
)
def test_a_budget_has_one_spelling_however_it_is_written(written, path):
    (level,) = study(f"attacks: [{{kind: fgsm, eps: [{written}]}}]").attacks[0].levels
    assert str(level) == path


def test_a_fraction_that_is_whole_counts_where_integers_do():
    checked = study("attacks: [{kind: pgd, eps: [0.1], steps: 80/2}]\nseeds: [6/2]")
    assert (checked.attacks[0]["steps"], checked.seeds) == (40, [3])
    assert type(checked.attacks[0]["steps"]) is type(checked.seeds[0]) is int


def test_text_with_a_slash_stays_text():
    assert study("data_dir: 8/255").data_dir == "8/255"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("8/0", "'8/0' is not of type number; a fraction is one number over another that is not 0"),
        ("8/255/2", "'8/255/2' is not of type number; a fraction is one number over another"),
        ("a/b", "'a/b' is not of type number; a fraction is one number over another"),
        ("1e999/1", "'1e999/1' is not of type number"),
        ("300/255", "'300/255' is too large; it is at most 1"),
        ("-8/255", "'-8/255' is too small; it is at least 0"),
        ("0.25, 1/4", "holds a value twice"),
    ],
)
def test_what_is_no_fraction_is_refused_in_one_line(written, said):
    with pytest.raises(ConfigurationError) as raised:
        study(f"attacks: [{{kind: fgsm, eps: [{written}]}}]")
    _, *lines = str(raised.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("  attacks[0] (fgsm).eps")
    assert said in lines[0]


@pytest.mark.parametrize("text", ["", "/", "1/", "/2", "1//2", "1/2/3", "1/-", "1/0.0", "٨/2"])
def test_what_is_no_number_over_another_is_left_as_it_is(text):
    assert read_fraction(text) == text
