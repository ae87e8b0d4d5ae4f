import copy
import inspect
import re
from pathlib import Path

import pytest
import yaml
from epsigma import grid
from epsigma.configuration import (
    REGISTRIES,
    SCHEMA,
    ConfigurationError,
    block,
    block_levels,
    block_schema,
    settings,
    validate,
)
from epsigma.kinds import load

ROOT = Path(__file__).parents[2]

STUDY = """
datasets: [{kind: digits}]
models: [{kind: mlp}]
attacks: [{kind: fgsm, eps: [0, 0.1]}]
filters:
  - {kind: gaussian, sigma: [1, 0.5]}
  - {kind: bandpass, name: band, cutoff: [0.2], dc: keep}
"""

KINDS = [
    pytest.param(section, name, id=f"{section}-{name}")
    for section, registry in REGISTRIES.items()
    for name in registry
]


def configured(text=""):
    """The study of this file, with top-level keys replaced by those of a YAML text."""
    return {**yaml.safe_load(STUDY), **(yaml.safe_load(text) or {})}


def faults(text):
    """What is said about a faulty configuration: a list of lines, each `key: what is wrong`."""
    with pytest.raises(ConfigurationError) as raised:
        validate(configured(text))
    head, *lines = str(raised.value).splitlines()
    assert head == "the configuration cannot be run:"
    return [line.removeprefix("  ") for line in lines]


def test_defaults_are_filled_in_at_every_depth():
    assert validate(configured()) == {
        "datasets": [{"kind": "digits", "name": "digits", "split_seed": 0}],
        "models": [
            {
                "kind": "mlp",
                "name": "mlp",
                "training": {
                    "epochs": 5,
                    "batch_size": 128,
                    "learning_rate": 0.001,
                    "validation": 0.1,
                },
                "hidden": 64,
            }
        ],
        "seeds": [0],
        "attacks": [{"kind": "fgsm", "name": "fgsm", "eps": [0, 0.1], "loss": "cross_entropy"}],
        "filters": [
            {
                "kind": "gaussian",
                "name": "gaussian",
                "sigma": [1, 0.5],
                "truncate": 4,
                "border": "reflect",
            },
            {
                "kind": "bandpass",
                "name": "band",
                "cutoff": [0.2],
                "width": 0.1,
                "shape": "ideal",
                "order": 2,
                "dc": "keep",
                "post": "none",
            },
        ],
        "data_dir": "data",
        "device": "auto",
        "keep_filtered": True,
    }


def test_a_part_of_training_leaves_the_rest_at_its_defaults():
    text = "models: [{kind: mlp, training: {epochs: 2}}]"
    training = validate(configured(text))["models"][0]["training"]
    assert training == {"epochs": 2, "batch_size": 128, "learning_rate": 0.001, "validation": 0.1}


def test_the_configuration_given_is_not_modified():
    given = configured()
    before = copy.deepcopy(given)
    validate(given)
    assert given == before


def test_a_checked_configuration_is_checked_to_itself():
    checked = validate(configured())
    assert validate(checked) == checked


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        # Keys that are not there, and keys that should be.
        ("sigmas: [1]", "the configuration", ["unknown key sigmas", "data_dir", "keep_filtered"]),
        (
            "attacks: [{kind: fgsm, eps: [0.1], epsilon: 1}]",
            "attacks[0] (fgsm)",
            ["unknown key epsilon", "allowed: eps, loss"],
        ),
        (
            "filters: [{kind: gaussian, name: soft, sigma: [1], cutoff: [1]}]",
            "filters[0] (soft)",
            ["unknown key cutoff", "sigma, truncate, border"],
        ),
        (
            "models: [{kind: mlp, training: {epohcs: 3}}]",
            "models[0].training",
            ["unknown key epohcs", "epochs, batch_size, learning_rate, validation"],
        ),
        ("attacks: [{kind: fgsm}]", "attacks[0] (fgsm)", ["key eps is missing"]),
        ("datasets: [{name: mine}]", "datasets[0]", ["key kind is missing"]),
        # `training` belongs to models only.
        ("datasets: [{kind: digits, training: {}}]", "datasets[0] (digits)", ["training"]),
        ("attacks: [{kind: fgsm, eps: [0], training: 5}]", "attacks[0] (fgsm)", ["training"]),
        (
            "filters: [{kind: gaussian, sigma: [1], training: {epochs: 1}}]",
            "filters[0] (gaussian)",
            ["training"],
        ),
        # Types.
        ("seeds: 0", "seeds", ["0 is not of type array"]),
        ("seeds: [true]", "seeds[0]", ["True is not of type integer"]),
        ("seeds: [0.5]", "seeds[0]", ["0.5 is not of type integer"]),
        ("data_dir: 5", "data_dir", ["5 is not of type string"]),
        ("data_dir: ''", "data_dir", ["non-empty"]),
        ("keep_filtered: 'no'", "keep_filtered", ["'no' is not of type boolean"]),
        ("datasets: [digits]", "datasets[0]", ["'digits' is not of type object"]),
        ("datasets: digits", "datasets", ["'digits' is not of type array"]),
        ("filters:", "filters", ["None is not of type array"]),
        ("models: [{kind: mlp, hidden: wide}]", "models[0] (mlp).hidden", ["of type integer"]),
        ("models: [{kind: mlp, training: }]", "models[0].training", ["of type object"]),
        (
            "attacks: [{kind: fgsm, eps: 0.1}]",
            "attacks[0] (fgsm).eps",
            ["0.1 is not of type array"],
        ),
        (
            "datasets: [{kind: mnist, test_size: many}]",
            "datasets[0] (mnist).test_size",
            ["integer or null"],
        ),
        # YAML's 1e-3 is a string.
        (
            "attacks: [{kind: fgsm, eps: [0, 1e-3]}]",
            "attacks[0] (fgsm).eps[1]",
            ["'1e-3' is not of type number", "a string in YAML; write 0.001"],
        ),
        (
            "models: [{kind: mlp, training: {learning_rate: 1e-3}}]",
            "models[0].training.learning_rate",
            ["write 0.001"],
        ),
        # Ranges.
        ("seeds: [-1]", "seeds[0]", ["-1 is too small", "at least 0"]),
        ("seeds: [4294967296]", "seeds[0]", ["too large", "at most 4294967295"]),
        (
            "attacks: [{kind: fgsm, eps: [0, 1.5]}]",
            "attacks[0] (fgsm).eps[1]",
            ["1.5 is too large", "at most 1"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [0]}]",
            "filters[0] (gaussian).sigma[0]",
            ["0 is too small", "greater than 0"],
        ),
        (
            "filters: [{kind: lowpass, cutoff: [0.71]}]",
            "filters[0] (lowpass).cutoff[0]",
            ["0.71 is too large", "at most 0.7072"],
        ),
        (
            "models: [{kind: mlp, training: {validation: 1}}]",
            "models[0].training.validation",
            ["1 is too large", "less than 1"],
        ),
        (
            "datasets: [{kind: mnist, train_size: 0}]",
            "datasets[0] (mnist).train_size",
            ["0 is too small", "at least 1"],
        ),
        # Choices.
        ("device: gpu", "device", ["'gpu' is not allowed", "auto, cpu, cuda"]),
        (
            "attacks: [{kind: fgsm, eps: [0], loss: hinge}]",
            "attacks[0] (fgsm).loss",
            ["'hinge'", "allowed: cross_entropy, margin"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], border: mirror}]",
            "filters[0] (gaussian).border",
            ["'mirror'", "reflect, replicate, constant, circular"],
        ),
        # Lists.
        ("models: []", "models", ["empty", "at least 1"]),
        ("seeds: []", "seeds", ["empty", "at least 1"]),
        ("attacks: [{kind: fgsm, eps: []}]", "attacks[0] (fgsm).eps", ["empty", "at least 1"]),
        ("seeds: [1, 0, 1]", "seeds", ["twice", "remove the duplicate"]),
        (
            "attacks: [{kind: fgsm, eps: [0.1, 0.10]}]",
            "attacks[0] (fgsm).eps",
            ["twice", "remove the duplicate"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1, 1.0]}]",
            "filters[0] (gaussian).sigma",
            ["twice", "remove the duplicate"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [9007199254740992, 9007199254740993]}]",
            "filters[0] (gaussian).sigma[1]",
            ["sigma~9007199254740992 is there already", "remove the duplicate"],
        ),
        # Kinds and names.
        ("datasets: [{kind: cifar}]", "datasets[0] (cifar).kind", ["mnist, mnist5k, digits"]),
        ("models: [{kind: cnn}]", "models[0] (cnn).kind", ["no 'cnn'", "allowed: mlp"]),
        ("attacks: [{kind: pgd, eps: [1]}]", "attacks[0] (pgd).kind", ["allowed: fgsm"]),
        (
            "filters: [{kind: median}]",
            "filters[0] (median).kind",
            ["allowed: gaussian, lowpass, highpass, bandpass"],
        ),
        ("filters: [{kind: none}]", "filters[0] (none).kind", ["allowed: gaussian"]),
        (
            "filters: [{kind: gaussian, name: none, sigma: [1]}]",
            "filters[0] (none).name",
            ["'none' is taken"],
        ),
        (
            "datasets: [{kind: digits}, {kind: mnist5k, name: digits}]",
            "datasets[1] (digits).name",
            ["datasets[0] has this name already"],
        ),
        (
            "models: [{kind: mlp}, {kind: mlp, hidden: 32}]",
            "models[1] (mlp).name",
            ["models[0] has this name already", "another `name`"],
        ),
        ("models: [{kind: mlp, name: My-MLP}]", "models[0].name", ["'My-MLP'", "[a-z]"]),
        ('models: [{kind: mlp, name: "mlp\\n"}]', "models[0].name", ["[a-z]"]),
        ("models: [{kind: mlp, name: 5}]", "models[0].name", ["5 is not of type string"]),
        # Numbers that no comparison catches.
        ("attacks: [{kind: fgsm, eps: [.nan]}]", "attacks[0].eps[0]", ["nan is not a finite"]),
        ("filters: [{kind: gaussian, sigma: [.inf]}]", "filters[0].sigma[0]", ["inf is not a fin"]),
        (
            "models: [{kind: mlp, training: {learning_rate: .inf}}]",
            "models[0].training.learning_rate",
            ["inf is not a finite number"],
        ),
    ],
)
def test_a_fault_is_reported_with_its_key_and_what_is_allowed(text, key, said):
    (fault,) = faults(text)
    named, _, what = fault.partition(": ")
    assert named == key
    assert [words for words in said if words not in what] == []


def test_all_faults_of_the_general_part_are_in_one_message():
    found = faults("{seeds: [-1], device: gpu, models: [], datasets: [{kind: digits, name: X}]}")
    assert [fault.partition(": ")[0] for fault in found] == [
        "datasets[0].name",
        "device",
        "models",
        "seeds[0]",
    ]


def test_all_faults_of_all_blocks_are_in_one_message():
    found = faults(
        """
        datasets: [{kind: cifar}]
        models: [{kind: mlp, hidden: 0}]
        attacks: [{kind: fgsm, eps: [0.1, 2, -1], loss: hinge}]
        filters: [{kind: gaussian, sigma: [1], border: x}, {kind: gaussian, sigma: [2]}]
        """
    )
    assert sorted(fault.partition(": ")[0] for fault in found) == [
        "attacks[0] (fgsm).eps[1]",
        "attacks[0] (fgsm).eps[2]",
        "attacks[0] (fgsm).loss",
        "datasets[0] (cifar).kind",
        "filters[0] (gaussian).border",
        "filters[1] (gaussian).name",
        "models[0] (mlp).hidden",
    ]


@pytest.mark.parametrize("word", ["nan", "inf", "many"])
def test_a_word_for_which_there_is_no_number_gets_no_hint(word):
    (fault,) = faults(f"attacks: [{{kind: fgsm, eps: ['{word}']}}]")
    assert fault == f"attacks[0] (fgsm).eps[0]: '{word}' is not of type number"


@pytest.mark.parametrize(
    ("text", "key", "read"),
    [
        ("seeds: [1.0]", "seeds", lambda study: study["seeds"][0]),
        (
            "models: [{kind: mlp, hidden: 64.0}]",
            "hidden",
            lambda study: study["models"][0]["hidden"],
        ),
        (
            "models: [{kind: mlp, training: {batch_size: 32.0}}]",
            "batch_size",
            lambda study: study["models"][0]["training"]["batch_size"],
        ),
    ],
)
def test_a_whole_number_written_as_a_float_is_refused_or_becomes_an_integer(text, key, read):
    # torch and the paths take integers only; which of the two is done with 64.0 is free.
    try:
        checked = validate(configured(text))
    except ConfigurationError:
        assert any(key in fault and "integer" in fault for fault in faults(text))
    else:
        assert type(read(checked)) is int


@pytest.mark.parametrize(
    "text",
    [
        "attacks: [{kind: fgsm, eps: [-0.0]}]",
        "filters: [{kind: gaussian, sigma: [1.0e-7, 10000000]}]",
        "seeds: [0, 1, 4294967295]",
    ],
)
def test_what_is_accepted_can_be_written_in_paths(text):
    for cell in grid.cells(validate(configured(text))):
        assert re.fullmatch(grid.LEVEL, cell.wildcards["budget"])
        assert re.fullmatch(grid.LEVEL, cell.wildcards["strength"])
        assert re.fullmatch(r"0|[1-9]\d*", cell.wildcards["seed"])


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.name)
def test_the_configurations_of_the_repository_are_accepted(path):
    checked = validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert list(grid.cells(checked))


def described(schema, at="config"):
    """List (path, schema) of every key in a schema."""
    for key, inner in schema.get("properties", {}).items():
        yield f"{at}.{key}", inner
        yield from described(inner, f"{at}.{key}")
    for part in schema.get("allOf", ()):
        yield from described(part, at)
    if "items" in schema:
        yield from described(schema["items"], f"{at}[]")
    for name, inner in schema.get("$defs", {}).items():
        yield from described(inner, f"{at}/{name}")


def test_every_key_of_the_schema_is_described():
    keys = dict(described(yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))))
    assert {"config.seeds", "config.models[].training.epochs", "config/block.kind"} <= set(keys)
    assert [at for at, schema in keys.items() if not schema.get("description", "").strip()] == []


@pytest.mark.parametrize(("section", "name"), KINDS)
def test_every_hyper_parameter_is_described(section, name):
    for schema in (
        *REGISTRIES[section][name].parameters.values(),
        *block_schema(REGISTRIES[section][name])["properties"].values(),
    ):
        assert schema["description"].strip()


@pytest.mark.parametrize(("section", "name"), KINDS)
def test_the_schema_s_hyper_parameters_are_the_implementation_s(section, name):
    kind = REGISTRIES[section][name]
    signature = inspect.signature(load(kind.implementation)).parameters.values()
    code = {
        parameter.name: parameter.default
        for parameter in signature
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert set(kind.parameters) == set(code)
    assert kind.swept is None or kind.swept in code
    for parameter, default in code.items():
        schema = kind.parameters[parameter]
        if default is inspect.Parameter.empty:
            continue
        assert schema["default"] == default


@pytest.mark.parametrize(("section", "name"), KINDS)
def test_the_swept_hyper_parameter_has_no_default_and_is_a_list_in_the_configuration(section, name):
    kind = REGISTRIES[section][name]
    schema = block_schema(kind)
    for parameter in kind.parameters:
        swept = parameter == kind.swept
        assert (schema["properties"][parameter].get("type") == "array") == swept
        if swept:
            assert "default" not in kind.parameters[parameter]
            assert parameter in schema["required"]


@pytest.mark.parametrize(
    ("section", "name", "level", "implementation", "parameters"),
    [
        ("datasets", "digits", None, "epsigma.datasets.digits:digits", {"split_seed": 0}),
        ("models", "mlp", None, "epsigma.models.mlp:MLP", {"hidden": 64}),
        (
            "attacks",
            "fgsm",
            "eps~0.1",
            "epsigma.attacks.fgsm:fgsm",
            {"loss": "cross_entropy", "eps": 0.1},
        ),
        ("attacks", "fgsm", None, "epsigma.attacks.fgsm:fgsm", {"loss": "cross_entropy"}),
        ("filters", "none", "fixed", "epsigma.filters.none:Identity", {}),
        (
            "filters",
            "band",
            "cutoff~0.2",
            "epsigma.filters.frequency:BandPass",
            {
                "width": 0.1,
                "shape": "ideal",
                "order": 2,
                "dc": "keep",
                "post": "none",
                "cutoff": 0.2,
            },
        ),
    ],
)
def test_settings_say_how_to_make_what_a_wildcard_names(
    section, name, level, implementation, parameters
):
    made = settings(validate(configured()), section, name, level)
    assert made == {"implementation": implementation, "parameters": parameters}
    # Snakemake compares the text: the order is part of it.
    assert list(made["parameters"]) == list(parameters)


def test_the_order_of_keys_in_a_block_does_not_change_its_settings():
    swapped = "filters: [{dc: keep, cutoff: [0.2], name: band, kind: bandpass}]"
    one, other = (
        settings(validate(configured(text)), "filters", "band", "cutoff~0.2")
        for text in ("", swapped)
    )
    assert repr(one) == repr(other)


@pytest.mark.parametrize(
    ("section", "name", "level", "said"),
    [
        ("models", "cnn", None, "no 'cnn' among the models of the configuration: mlp"),
        ("filters", "lowpass", None, "gaussian, band, none"),
        ("attacks", "fgsm", "sigma~1", "'sigma~1' is no level of fgsm, which sweeps eps"),
        ("attacks", "fgsm", "eps~0.10", "shortest spelling"),
        ("attacks", "fgsm", "fixed", "'fixed' is no level of fgsm"),
        ("filters", "none", "sigma~1", "'sigma~1' is no level of none"),
    ],
)
def test_settings_of_what_is_not_configured_are_refused(section, name, level, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        settings(validate(configured()), section, name, level)


def test_a_block_is_found_by_its_name_and_the_filter_none_is_always_there():
    study = validate(configured())
    assert block(study, "filters", "band")["kind"] == "bandpass"
    assert block(study, "filters", "none") == {"kind": "none", "name": "none"}
    with pytest.raises(ValueError, match="no 'none' among the attacks"):
        block(study, "attacks", "none")


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        ("attacks", "fgsm", ["eps~0", "eps~0.1"]),
        ("filters", "gaussian", ["sigma~1", "sigma~0.5"]),
        ("filters", "none", ["fixed"]),
        ("models", "mlp", ["fixed"]),
    ],
)
def test_the_levels_of_a_block_keep_the_configuration_s_order(section, name, expected):
    assert block_levels(validate(configured()), section, name) == expected
