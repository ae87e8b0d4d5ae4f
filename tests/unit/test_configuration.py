import copy
import inspect
import re
import sys
import uuid
from pathlib import Path

import pytest
import yaml
from epsigma import plan as grid
from epsigma.kinds import FilterKind
from epsigma.loading import load
from epsigma.plan.modules import attack_modules, model_modules
from epsigma.plan.settings import at_cell, at_level, attack_settings, block_levels, settings
from epsigma.registry import REGISTRIES
from epsigma.registry.attacks import ATTACKS
from epsigma.registry.datasets import DATASETS
from epsigma.registry.filters import FILTERS
from epsigma.registry.trainings import TRAININGS
from epsigma.study import ConfigurationError, Study, expand, validate
from epsigma.study.blocks import Attack, Autoencoder, Dataset, Detector, Filter, Model
from epsigma.study.references import find_attack_kind

ROOT = Path(__file__).parents[2]

STUDY = """
datasets: [{kind: digits}]
models: [{kind: mlp}]
attacks: [{kind: fgsm, eps: [0, 0.1]}]
filters:
  - {kind: gaussian, sigma: [1, 0.5]}
  - {kind: bandpass, name: band, cutoff: [0.2], dc: keep}
"""

ALL = {**REGISTRIES, "training": TRAININGS}
KINDS = [
    pytest.param(section, name, id=f"{section}-{name}")
    for section, registry in ALL.items()
    for name in registry
]

# A study with everything that there may be.
RICH = """
models:
  - {kind: mlp}
  - {kind: mlp, name: hardened, defends: mlp, training: {kind: adversarial, method: pgd, eps: 0.1}}
  - {kind: mlp, name: taught, defends: mlp, training: {kind: distillation, temperature: [20, 1]}}
attacks:
  - {kind: fgsm, eps: [0, 0.1], models: [mlp, taught], filters: [gaussian, guarded]}
  - {kind: transfer, name: moved, attack: fgsm, eps: [0.1], source_model: mlp,
     models: [taught/temperature~20, hardened]}
filters:
  - {kind: gaussian, sigma: [1, 0.5], then: [{kind: bitdepth, bits: 3}, {kind: median, size: 2}]}
  - {kind: identity, name: guarded, detectors: [squeezed, divergence], models: [mlp]}
  - {kind: reformer, passes: [1], autoencoder: deep, detectors: [reconstruction],
     then: [{kind: reformer, passes: 2, autoencoder: shallow}]}
autoencoders:
  - {kind: convolutional, name: deep}
  - {kind: convolutional, name: shallow, pool: null, training: {epochs: 3, noise: 0}}
detectors:
  - {kind: reconstruction, autoencoder: deep, p: 2}
  - {kind: divergence, autoencoder: shallow, temperature: 40, false_positive_rate: 0.01}
  - {kind: squeezing, name: squeezed, filters: [{kind: bitdepth, bits: 1}, {kind: reformer,
     passes: 1, autoencoder: deep}]}
requantise: true
measure_cost: true
"""


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


TRAINING = {
    "kind": "standard",
    "epochs": 5,
    "batch_size": 128,
    "learning_rate": 0.001,
    "schedule": "constant",
    "validation": 0.1,
}


def test_defaults_are_filled_in_at_every_depth():
    assert validate(configured()).dump() == {
        "datasets": [{"kind": "digits", "name": "digits", "split_seed": 0}],
        "models": [
            {
                "kind": "mlp",
                "name": "mlp",
                "training": TRAINING,
                "checkpoint": None,
                "checkpoint_key": None,
                "preprocess": None,
                "normalize": None,
                "defends": None,
                "hidden": 64,
            }
        ],
        "seeds": [0],
        "attacks": [
            {
                "kind": "fgsm",
                "name": "fgsm",
                "threats": ["blind", "aware"],
                "eot_samples": 10,
                "gradient": "own",
                "examples": None,
                "datasets": None,
                "models": None,
                "filters": None,
                "eps": [0, 0.1],
                "loss": "cross_entropy",
            }
        ],
        "filters": [
            {
                "kind": "gaussian",
                "name": "gaussian",
                "threats": ["blind", "aware"],
                "then": [],
                "detectors": [],
                "models": None,
                "sigma": [1, 0.5],
                "truncate": 4,
                "border": "reflect",
            },
            {
                "kind": "bandpass",
                "name": "band",
                "threats": ["blind", "aware"],
                "then": [],
                "detectors": [],
                "models": None,
                "cutoff": [0.2],
                "width": 0.1,
                "shape": "ideal",
                "order": 2,
                "dc": "keep",
                "post": "none",
            },
        ],
        "autoencoders": [],
        "detectors": [],
        "data_dir": "data",
        "device": "auto",
        "memory_mb": None,
        "batch_size": None,
        "columns": "none",
        "keep_filtered": True,
        "keep_directions": True,
        "keep_aware": True,
        "stored_as": "float32",
        "requantise": False,
        "measure_cost": False,
        "proofs": None,
        "checks": "all",
        "figures": {
            "kinds": "all",
            "formats": ["png"],
            "panel_width": 5.2,
            "font_size": 10,
        },
        "only": None,
        "strict": True,
    }


def test_a_part_of_training_leaves_the_rest_at_its_defaults():
    text = "models: [{kind: mlp, training: {epochs: 2}}]"
    training = validate(configured(text)).dump()["models"][0]["training"]
    assert training == {**TRAINING, "epochs": 2}


def test_defaults_are_filled_in_for_autoencoders_detectors_and_parts_of_others():
    study = validate(configured(RICH)).dump()
    assert study["models"][1]["training"] == {
        **TRAINING,
        "kind": "adversarial",
        "method": "pgd",
        "eps": 0.1,
        "steps": 10,
        "step_size": None,
        "clean_weight": None,
        "warm_up": 0,
    }
    assert study["models"][2]["training"] == {
        **TRAINING,
        "kind": "distillation",
        "temperature": [20, 1],
    }
    assert study["filters"][0]["then"] == [
        {"kind": "bitdepth", "bits": 3},
        {"kind": "median", "size": 2, "border": "reflect"},
    ]
    learning = {"epochs": 100, "batch_size": 256, "learning_rate": 0.001, "validation": 0.1}
    assert study["autoencoders"] == [
        {
            "kind": "convolutional",
            "name": "deep",
            "training": {**learning, "noise": 0.1},
            "channels": 3,
            "pool": "average",
        },
        {
            "kind": "convolutional",
            "name": "shallow",
            "training": {**learning, "epochs": 3, "noise": 0},
            "channels": 3,
            "pool": None,
        },
    ]
    assert study["detectors"][0] == {
        "kind": "reconstruction",
        "name": "reconstruction",
        "false_positive_rate": 0.001,
        "autoencoder": "deep",
        "p": 2,
    }
    assert study["detectors"][2]["filters"][1] == {
        "kind": "reformer",
        "passes": 1,
        "autoencoder": "deep",
    }


@pytest.mark.parametrize("text", ["", RICH], ids=["plain", "rich"])
def test_the_configuration_given_is_not_modified(text):
    given = configured(text)
    before = copy.deepcopy(given)
    validate(given)
    assert given == before


@pytest.mark.parametrize("text", ["", RICH], ids=["plain", "rich"])
def test_a_checked_configuration_is_checked_to_itself(text):
    checked = validate(configured(text))
    assert validate(checked).dump() == checked.dump()
    # With the models of a sweep apart, it is what cells are made of.
    assert list(grid.cells(expand(checked)))


DETECTOR = "detectors[0] (squeezing)"


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
            "models[0] (mlp).training",
            [
                "unknown key epohcs",
                "allowed: kind, epochs, batch_size, learning_rate, schedule, validation",
            ],
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
        ("keep_aware: 0", "keep_aware", ["0 is not of type boolean"]),
        ("strict: null", "strict", ["None is not of type boolean"]),
        ("checks: quick", "checks", ["no 'quick' here; allowed: all, cheap", "above_chance"]),
        ("checks: [logits, lodgits]", "checks", ["no 'lodgits' here", "smoothing_holds"]),
        ("checks: [all]", "checks", ["no 'all' here; allowed: all, cheap, or a list of"]),
        ("checks: 3", "checks", ["3 is not allowed", "cheap"]),
        ("checks: [logits, logits]", "checks", ["twice", "remove the duplicate"]),
        ("figures: {kinds: some}", "figures.kinds", ["no 'some' here; allowed: all, or a list of"]),
        ("figures: {kinds: [threats]}", "figures.kinds", ["no 'threats' here", "attack_threats"]),
        ("figures: {formats: [eps]}", "figures.formats[0]", ["'eps' is not allowed", "pdf"]),
        ("figures: {panel_width: 0}", "figures.panel_width", ["0"]),
        ("figures: {font_size: 99}", "figures.font_size", ["99"]),
        ("figures: {width: 3}", "figures", ["width"]),
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
        (
            "attacks: [{kind: fooling, confidence: [0.9], examples: 5}]",
            "attacks[0] (fooling).examples",
            ["say with `images`"],
        ),
        ("datasets: [{kind: cifar}]", "datasets[0] (cifar).kind", [", ".join(DATASETS)]),
        ("models: [{kind: vgg}]", "models[0] (vgg).kind", ["no 'vgg'", "allowed: mlp, softmax"]),
        (
            "attacks: [{kind: deepfool, eps: [1]}]",
            "attacks[0] (deepfool).kind",
            ["no 'deepfool'", f"allowed: {', '.join(ATTACKS)}"],
        ),
        (
            "filters: [{kind: sharpen}]",
            "filters[0] (sharpen).kind",
            [
                "no 'sharpen'",
                f"allowed: {', '.join(name for name in FILTERS if name != 'none')}, "
                "or package.module:ENTRY",
            ],
        ),
        ("filters: [{kind: none}]", "filters[0] (none).kind", ["allowed: identity, gaussian"]),
        (
            "autoencoders: [{kind: recurrent}]",
            "autoencoders[0] (recurrent).kind",
            ["no 'recurrent'", "allowed: convolutional, pca, or package.module:ENTRY"],
        ),
        (
            "detectors: [{kind: entropy}]",
            "detectors[0] (entropy).kind",
            ["no 'entropy'", "allowed: reconstruction, divergence, squeezing"],
        ),
        (
            "models: [{kind: mlp, training: {kind: dropout}}]",
            "models[0] (mlp).training.kind",
            [
                "no 'dropout'",
                "allowed: standard, filtered, adversarial, distillation, or package.module:ENTRY",
            ],
        ),
        (
            "models: [{kind: mlp, training: {kind: distillation}}]",
            "models[0] (mlp).training",
            ["key temperature is missing"],
        ),
        (
            "models: [{kind: mlp, training: {kind: distillation, temperature: [20, 20.0]}}]",
            "models[0] (mlp).training.temperature",
            ["twice", "remove the duplicate"],
        ),
        # Parts of others.
        (
            "filters: [{kind: gaussian, sigma: [1], then: [{kind: median, size: 2}, {kind: no}]}]",
            "filters[0].then[1].kind",
            ["False is not of type string"],
        ),
        *(
            (
                f"filters: [{{kind: gaussian, sigma: [1], then: [{{kind: {kind}}}]}}]",
                "filters[0] (gaussian).then[0].kind",
                [f"no '{kind}' here", "allowed: identity, gaussian, lowpass"],
            )
            for kind in ("sharpen", "none")
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], then: [{sigma: 1}]}]",
            "filters[0].then[0]",
            ["key kind is missing"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], then: [{kind: bitdepth, bits: [1, 2]}]}]",
            "filters[0] (gaussian).then[0].bits",
            ["[1, 2] is not of type integer"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], then: [{kind: bitdepth, bits: 1, name: x}]}]",
            "filters[0] (gaussian).then[0]",
            ["unknown key name; allowed: kind, bits"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], then: {kind: bitdepth, bits: 1}}]",
            "filters[0].then",
            ["is not of type array"],
        ),
        (
            "detectors: [{kind: squeezing, filters: [{kind: blur}]}]",
            "detectors[0] (squeezing).filters[0].kind",
            ["no 'blur' here", "allowed: identity, gaussian, lowpass"],
        ),
        ("detectors: [{kind: squeezing, filters: []}]", DETECTOR + ".filters", ["list is empty"]),
        (
            "detectors: [{kind: squeezing, filters: [{kind: median, size: 2}], then: []}]",
            DETECTOR,
            ["unknown key then"],
        ),
        (
            "detectors: [{kind: squeezing, filters: [{kind: jpeg, quality: 9}], "
            "false_positive_rate: 1}]",
            "detectors[0].false_positive_rate",
            ["1 is too large", "less than 1"],
        ),
        (
            "autoencoders: [{kind: convolutional, training: {kind: standard}}]",
            "autoencoders[0].training",
            ["unknown key kind", "epochs, batch_size, learning_rate, noise, validation"],
        ),
        # Names of other blocks.
        (
            "filters: [{kind: identity}]",
            "filters[0] (identity)",
            ["changes nothing", "give it `detectors`, or leave it out"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], detectors: [dull]}]",
            "filters[0] (gaussian).detectors",
            ["no detector 'dull'", "allowed: none, for the study has no `detectors`"],
        ),
        (
            "{filters: [{kind: gaussian, sigma: [1], detectors: [dull]}], "
            "detectors: [{kind: squeezing, filters: [{kind: median, size: 2}]}]}",
            "filters[0] (gaussian).detectors",
            ["no detector 'dull'", "allowed: squeezing"],
        ),
        (
            "filters: [{kind: reformer, passes: [1], autoencoder: deep}]",
            "filters[0] (reformer).autoencoder",
            ["no autoencoder 'deep'", "allowed: none, for the study has no `autoencoders`"],
        ),
        (
            "{detectors: [{kind: divergence, autoencoder: deep}], autoencoders: "
            "[{kind: convolutional}, {kind: convolutional, name: other}]}",
            "detectors[0] (divergence).autoencoder",
            ["no autoencoder 'deep'", "allowed: convolutional, other"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], then: [{kind: reformer, passes: 1, "
            "autoencoder: deep}]}]",
            "filters[0] (gaussian).then[0].autoencoder",
            ["no autoencoder 'deep'"],
        ),
        (
            "detectors: [{kind: squeezing, filters: [{kind: reformer, passes: 1, "
            "autoencoder: deep}]}]",
            DETECTOR + ".filters[0].autoencoder",
            ["no autoencoder 'deep'"],
        ),
        *(
            (
                f"models: [{{kind: softmax}}, {{kind: mlp, defends: {name}}}]",
                "models[1] (mlp).defends",
                [f"no model '{name}' beside it", "allowed: softmax, or null"],
            )
            for name in ("cnn", "mlp")
        ),
        *(
            (
                "models: [{kind: mlp, training: {kind: distillation, temperature: [20, 1]}, "
                f"defends: {defends}}}, {{kind: cnn, defends: {defended}}}]",
                f"models[{index}] ({name}).defends",
                [f"no model '{said}' beside it", f"allowed: {allowed}, or null"],
            )
            for defends, defended, index, name, said, allowed in (
                # Which of them?
                ("null", "mlp", 1, "cnn", "mlp", "mlp/temperature~20, mlp/temperature~1"),
                ("mlp/temperature~1", "null", 0, "mlp", "mlp/temperature~1", "cnn"),
            )
        ),
        (
            "attacks: [{kind: fgsm, eps: [0], models: [mlp, cnn]}]",
            "attacks[0] (fgsm).models",
            ["no model 'cnn'", "allowed: mlp"],
        ),
        (
            "{models: [{kind: mlp, training: {kind: distillation, temperature: [20]}}], "
            "filters: [{kind: gaussian, sigma: [1], models: [mlp/temperature~2]}]}",
            "filters[0] (gaussian).models",
            ["no model 'mlp/temperature~2'", "allowed: mlp, mlp/temperature~20"],
        ),
        (
            "attacks: [{kind: fgsm, eps: [0], filters: [soft]}]",
            "attacks[0] (fgsm).filters",
            ["no filter 'soft'", "allowed: gaussian, band"],
        ),
        *(
            (
                f"attacks: [{{kind: fgsm, eps: [0], filters: [{name}]}}]",
                "attacks[0] (fgsm).filters",
                [said, "allowed: gaussian"],
            )
            for name, said in (
                ("soft/sigma~1", "no filter 'soft'"),
                ("gaussian/sigma~9", "no 'gaussian/sigma~9'"),
                ("gaussian/sigma~1.0", "no 'gaussian/sigma~1.0'"),
                ("gaussian/fixed", "no 'gaussian/fixed'"),
                ("gaussian/", "no 'gaussian/'"),
            )
        ),
        (
            "attacks: [{kind: fgsm, eps: [0], datasets: [mnist]}]",
            "attacks[0] (fgsm).datasets",
            ["no data set 'mnist'", "allowed: digits"],
        ),
        # Where nothing is allowed, that is said.
        (
            "{attacks: [{kind: fgsm, eps: [0], filters: [soft]}], filters: []}",
            "attacks[0] (fgsm).filters",
            ["no filter 'soft'", "allowed: none, for the study has no `filters`"],
        ),
        (
            "attacks: [{kind: transfer, attack: pgd, eps: [0], source_seed: 1}]",
            "attacks[0] (transfer).attack",
            ["'pgd' is not allowed", "allowed: none, for no other is untargeted and by eps"],
        ),
        (
            "models: [{kind: mlp, defends: cnn}]",
            "models[0] (mlp).defends",
            ["no model 'cnn' beside it; allowed: null"],
        ),
        ("attacks: [{kind: fgsm, eps: [0], models: []}]", "attacks[0].models", ["empty"]),
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
        (
            "models: [{kind: mlp, name: My-MLP}]",
            "models[0].name",
            ["'My-MLP'", "write it like my_mlp"],
        ),
        (
            'models: [{kind: mlp, name: "mlp\\n"}]',
            "models[0].name",
            ["no name for files and tables", "a letter first"],
        ),
        ("models: [{kind: mlp, name: 5}]", "models[0].name", ["5 is not of type string"]),
        # Threats.
        (
            "attacks: [{kind: fgsm, eps: [0], threats: [white_box]}]",
            "attacks[0].threats[0]",
            ["'white_box' is not allowed", "allowed: blind, aware"],
        ),
        ("attacks: [{kind: fgsm, eps: [0], threats: []}]", "attacks[0].threats", ["empty"]),
        (
            "filters: [{kind: gaussian, sigma: [1], threats: [aware, aware]}]",
            "filters[0].threats",
            ["twice", "remove the duplicate"],
        ),
        (
            "attacks: [{kind: sign_noise, eps: [0.1], threats: [blind, aware]}]",
            "attacks[0] (sign_noise).threats",
            ["'aware' is not allowed; allowed: blind"],
        ),
        (
            "attacks: [{kind: uniform_noise, eps: [0.1], threats: [aware]}]",
            "attacks[0] (uniform_noise).threats",
            ["'aware' is not allowed; allowed: blind"],
        ),
        ("models: [{kind: mlp, threats: [blind]}]", "models[0] (mlp)", ["unknown key threats"]),
        (
            "filters: [{kind: gaussian, sigma: [1], eot_samples: 4}]",
            "filters[0] (gaussian)",
            ["unknown key eot_samples"],
        ),
        (
            "attacks: [{kind: fgsm, eps: [0], eot_samples: 0}]",
            "attacks[0].eot_samples",
            ["0 is too small", "at least 1"],
        ),
        # How many examples, and which classes to aim at.
        (
            "attacks: [{kind: fgsm, eps: [0], examples: 0}]",
            "attacks[0].examples",
            ["0 is too small", "at least 1"],
        ),
        (
            "attacks: [{kind: fgsm, eps: [0], examples: all}]",
            "attacks[0].examples",
            ["'all' is not of type integer or null"],
        ),
        (
            "filters: [{kind: gaussian, sigma: [1], examples: 5}]",
            "filters[0] (gaussian)",
            ["unknown key examples"],
        ),
        (
            "attacks: [{kind: fgsm, eps: [0], targets: all}]",
            "attacks[0] (fgsm)",
            ["unknown key targets"],
        ),
        (
            "attacks: [{kind: jsma, gamma: [0.1], targets: untargeted}]",
            "attacks[0] (jsma).targets",
            ["'untargeted' is not allowed", "`all` but the true one, or a list"],
        ),
        (
            "attacks: [{kind: carlini_wagner, kappa: [0], targets: some}]",
            "attacks[0] (carlini_wagner).targets",
            ["'some' is not allowed", "or a list", "`untargeted` aims at any"],
        ),
        *(
            (
                f"attacks: [{{kind: carlini_wagner, kappa: [0], targets: {targets}}}]",
                "attacks[0] (carlini_wagner).targets",
                ["is not allowed", "or a list"],
            )
            for targets in ("[]", "[-1]", "[true]", "[0.5]", "3", "null")
        ),
        (
            "attacks: [{kind: carlini_wagner, kappa: [0], targets: [1, 1]}]",
            "attacks[0] (carlini_wagner).targets",
            ["[1, 1] holds a value twice; remove the duplicate"],
        ),
        (
            "attacks: [{kind: jsma, gamma: [0.1], theta: 0.0}]",
            "attacks[0] (jsma).theta",
            ["0.0 is not allowed"],
        ),
        # Of 64 values JSMA changes two at once, its control one.
        (
            "attacks: [{kind: jsma, gamma: [0, 0.03]}]",
            "attacks[0] (jsma).gamma",
            ["0.03 of the 64 values of an image of digits", "at least 2/64, or 0"],
        ),
        (
            "attacks: [{kind: feature_noise, gamma: [0.1, 0.01]}]",
            "attacks[0] (feature_noise).gamma",
            ["0.01 of the 64 values", "at least 1/64, or 0"],
        ),
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
def test_the_configurations_of_the_repository_are_accepted(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    # Weights are not in the repository; that they are there is checked before the run.
    for model in study["models"]:
        if "checkpoint" in model:
            Path(model["checkpoint"]).parent.mkdir(parents=True)
            Path(model["checkpoint"]).touch()
    checked = validate(study)
    assert list(grid.cells(checked))


def test_every_key_of_a_study_is_described():
    schema = Study.model_json_schema()
    found = {"study": schema["properties"]}
    found |= {name: about.get("properties", {}) for name, about in schema["$defs"].items()}
    assert "epochs" in found["Training"]
    assert [
        f"{name}.{key}"
        for name, keys in found.items()
        for key, about in keys.items()
        if not about.get("description", "").strip()
    ] == []


@pytest.mark.parametrize(("section", "name"), KINDS)
def test_every_hyper_parameter_is_described(section, name):
    for schema in (
        *ALL[section][name].schemas.values(),
        *ALL[section][name].block.model_json_schema()["properties"].values(),
    ):
        assert schema["description"].strip()


# What decides where an attack is made, which is not the implementation's business.
OF_THE_STAGE = {
    "transfer": {"source_model", "source_seed"},
    "jsma": {"targets"},
    "carlini_wagner": {"targets"},
    "fooling": {"images"},
    "fooling_evolution": {"images"},
    "fooling_noise": {"images"},
}


@pytest.mark.parametrize(("section", "name"), KINDS)
def test_the_schema_s_hyper_parameters_are_the_implementation_s(section, name):
    kind = ALL[section][name]
    code = {
        parameter.name: parameter.default
        for parameter in inspect.signature(load(kind.implementation)).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert ("generator" in code) == getattr(kind, "random", False)
    assert ("targets" in code) == getattr(kind, "targeted", False)
    assert ("on_step" in code) == getattr(kind, "traced", False)
    assert ("on_part" in code) == getattr(kind, "ensemble", False)
    assert ("progress" in code) == getattr(kind, "ensemble", False)
    assert ("teacher" in code) == getattr(kind, "teacher", False)
    for of_the_stage in ("generator", "targets", "on_step", "on_part", "progress", "teacher"):
        code.pop(of_the_stage, None)
    assert set(kind.schemas) - OF_THE_STAGE.get(name, set()) == set(code)
    assert kind.swept is None or kind.swept in code
    for parameter, default in code.items():
        schema = kind.schemas[parameter]
        if default is inspect.Parameter.empty:
            continue
        assert schema["default"] == default


@pytest.mark.parametrize(("section", "name"), KINDS)
def test_the_swept_hyper_parameter_has_no_default_and_is_a_list_in_the_configuration(section, name):
    kind = ALL[section][name]
    schema = kind.block.model_json_schema()
    for parameter in kind.schemas:
        swept = parameter == kind.swept
        # Or it is a list of filters, which is one value.
        listed = swept or parameter == getattr(kind, "filters", None)
        assert (schema["properties"][parameter].get("type") == "array") == listed
        if swept:
            assert "default" not in kind.schemas[parameter]
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
        ("filters", "none", "fixed", "epsigma.filters.none:Identity", {}),
        (
            "filters",
            "band",
            "cutoff~0.2",
            "epsigma.filters.frequency:BandPass",
            {
                "shape": "ideal",
                "order": 2,
                "dc": "keep",
                "post": "none",
                "width": 0.1,
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


@pytest.mark.parametrize(
    ("section", "name", "level", "type_"),
    [("attacks", "fgsm", "eps~0.1", "number"), ("filters", "band", "cutoff~0.2", "number")],
)
def test_the_level_is_left_open_until_it_is_known(section, name, level, type_):
    study = validate(configured())
    left_open = settings(study, section, name)
    swept, _ = level.split("~")
    assert left_open["swept"] == [swept, type_]
    assert swept not in left_open["parameters"]
    assert repr(at_level(left_open, level)) == repr(settings(study, section, name, level))
    key = section.removesuffix("s")
    told = at_cell({"model": {}, key: left_open}, {"budget": level, "strength": level})
    assert told == {"model": {}, key: settings(study, section, name, level)}
    # What is filled in stays as it is, whatever the cell.
    assert at_cell(told, {"budget": "eps~0.3", "strength": "cutoff~0.3"}) == told


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
    assert study.find("filters", "band")["kind"] == "bandpass"
    assert study.find("filters", "none").kind == study.find("filters", "none").name == "none"
    with pytest.raises(ValueError, match="no 'none' among the attacks"):
        study.find("attacks", "none")


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        ("attacks", "fgsm", ["eps~0", "eps~0.1"]),
        ("filters", "gaussian", ["sigma~0.5", "sigma~1"]),
        ("filters", "none", ["fixed"]),
        ("models", "mlp", ["fixed"]),
    ],
)
def test_the_levels_of_a_block_ascend(section, name, expected):
    assert block_levels(validate(configured()), section, name) == expected


def test_levels_ascend_as_numbers_not_as_words():
    study = validate(configured("filters: [{kind: gaussian, sigma: [10, 9, 0.5]}]"))
    assert block_levels(study, "filters", "gaussian") == ["sigma~0.5", "sigma~9", "sigma~10"]


@pytest.mark.parametrize(
    ("text", "level", "parameter", "value"),
    [
        ("filters: [{kind: bitdepth, bits: [4]}]", "bits~4", "bits", 4),
        ("filters: [{kind: median, size: [3]}]", "size~3", "size", 3),
        ("filters: [{kind: gaussian, sigma: [2]}]", "sigma~2", "sigma", 2.0),
    ],
)
def test_a_level_that_counts_comes_out_as_an_integer(text, level, parameter, value):
    study = validate(configured(text))
    made = settings(study, "filters", study["filters"][0]["name"], level)
    found = made["parameters"][parameter]
    assert (found, type(found)) == (value, type(value))


# --- Threats


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_is_asked_under_every_threat_that_its_kind_allows(kind):
    own = ", attack: white, source_seed: 0" if kind == "transfer" else ""
    text = f"""
        seeds: [0, 1]
        attacks:
          - {{kind: fgsm, name: white, eps: [0.1]}}
          - {{kind: {kind}, {ATTACKS[kind].swept}: [0.1]{own}}}
        """
    attack = validate(configured(text)).find("attacks", kind)
    blind_only = kind == "transfer" or kind.endswith("noise")
    assert attack["threats"] == ["blind"] + ["aware"] * (not blind_only)


@pytest.fixture
def undeclared(monkeypatch):
    """A kind of filter of which nobody has said how to differentiate through it."""
    gaussian = FILTERS["gaussian"]
    kind = FilterKind(gaussian.implementation, gaussian.hyperparameters, "sigma")
    monkeypatch.setitem(FILTERS, "riddle", kind)


def test_an_aware_attack_on_a_filter_of_an_unknown_gradient_is_refused(undeclared):
    (fault,) = faults("filters: [{kind: gaussian, sigma: [1]}, {kind: riddle, sigma: [1]}]")
    named, _, what = fault.partition(": ")
    assert named == "filters[1] (riddle).threats"
    for words in (
        "'riddle' is declared neither differentiable nor handled",
        "set threats: [blind]",
    ):
        assert words in what


@pytest.mark.parametrize(
    "text",
    [
        "filters: [{kind: median, size: [3], then: [{kind: riddle, sigma: 1}]}]",
        """
        filters: [{kind: median, size: [3], detectors: [other, squeezing]}]
        detectors:
          - {kind: squeezing, filters: [{kind: median, size: 2}, {kind: riddle, sigma: 1}]}
          - {kind: reconstruction, name: other, autoencoder: convolutional}
        autoencoders: [{kind: convolutional}]
        """,
    ],
    ids=["it follows", "a detector squeezes with it"],
)
def test_an_aware_attack_on_a_part_of_an_unknown_gradient_is_refused(undeclared, text):
    (fault,) = faults(text)
    assert fault.startswith("filters[0] (median).threats: the kind 'riddle' is declared neither")
    blind = text.replace("size: [3]", "size: [3], threats: [blind]")
    assert validate(configured(blind))


@pytest.mark.parametrize(
    "text",
    [
        "filters: [{kind: riddle, sigma: [1], threats: [blind]}]",
        """
        attacks: [{kind: fgsm, eps: [0.1], threats: [blind]}, {kind: sign_noise, eps: [0.1]}]
        filters: [{kind: riddle, sigma: [1]}]
        """,
    ],
    ids=["the filter says so", "no attack is aware"],
)
def test_a_filter_of_an_unknown_gradient_may_be_attacked_blindly(undeclared, text):
    study = validate(configured(text))
    assert {cell.threat for cell in grid.cells(study)} == {"blind"}


# --- Transfers


TRANSFER = """
datasets: [{kind: digits}]
models: [{kind: mlp}, {kind: mlp, name: wide, hidden: 256}]
seeds: [0, 1]
attacks:
  - {kind: fgsm, eps: [0.1], loss: margin}
  - {kind: pgd_l2, eps: [1], steps: 3}
  - {kind: transfer, name: moved, attack: %s, eps: [0.1], %s}
  - {kind: transfer, name: twice, attack: pgd_l2, source_seed: 0, eps: [0.1]}
filters: [{kind: gaussian, sigma: [1]}]
"""


@pytest.mark.parametrize(
    ("attack", "source", "key", "said"),
    [
        (
            "cw",
            "source_model: wide",
            "attacks[2] (moved).attack",
            ["'cw' is not allowed", "allowed: fgsm, pgd_l2"],
        ),
        (
            "twice",
            "source_model: wide",
            "attacks[2] (moved).attack",
            ["'twice' is not allowed", "allowed: fgsm, pgd_l2"],
        ),
        (
            "moved",
            "source_model: wide",
            "attacks[2] (moved).attack",
            ["'moved' is not allowed", "allowed: fgsm, pgd_l2"],
        ),
        (
            "fgsm",
            "source_model: cnn",
            "attacks[2] (moved).source_model",
            ["no model 'cnn'", "allowed: mlp, wide, or null"],
        ),
        (
            "fgsm",
            "source_model: null",
            "attacks[2] (moved)",
            ["the source is the model that is attacked", "source_model or source_seed"],
        ),
    ],
)
def test_a_transfer_of_nothing_or_from_nowhere_is_refused(attack, source, key, said):
    (fault,) = faults(TRANSFER % (attack, source))
    named, _, what = fault.partition(": ")
    assert named == key
    assert [words for words in said if words not in what] == []


def test_a_transfer_from_the_only_model_there_is_onto_itself_is_refused():
    text = "attacks: [{kind: fgsm, eps: [0]}, {kind: transfer, attack: fgsm, eps: [0], %s}]"
    for source in ("source_model: mlp", "source_seed: 0"):
        (fault,) = faults(text % source)
        assert fault.startswith("attacks[1] (transfer): the source is the model that is attacked")
    # Another seed is another model.
    assert validate(configured(text % "source_seed: 1"))


@pytest.mark.parametrize("source", ["source_model: wide", "source_seed: 1", "source_seed: 7"])
def test_a_transfer_from_another_model_or_seed_is_accepted(source):
    study = validate(configured(TRANSFER % ("fgsm", source)))
    moved = study.find("attacks", "moved")
    assert moved["threats"] == ["blind"]
    key, value = source.split(": ")
    assert {"source_model": None, "source_seed": None} | {
        key: int(value) if value.isdigit() else value
    } == {name: moved[name] for name in ("source_model", "source_seed")}


def test_a_transfer_is_made_as_what_it_takes_over_is_made():
    study = validate(configured(TRANSFER % ("fgsm", "source_model: wide")))
    assert attack_settings(study, "moved", "eps~0.1") == {
        "implementation": "epsigma.attacks.transfer:transfer",
        "parameters": {
            "attack": {
                "implementation": "epsigma.attacks.fgsm:fgsm",
                "parameters": {"loss": "margin"},
            },
            "eps": 0.1,
        },
        "bounded_by": "eps",
    }
    made = attack_settings(study, "twice", "eps~0.1")
    # What it takes over draws, so it draws; it is told once.
    assert made["random"] is True
    assert list(made["parameters"]["attack"]) == ["implementation", "parameters"]
    assert made["parameters"]["attack"]["parameters"]["steps"] == 3
    own = {**settings(study, "attacks", "fgsm", "eps~0.1"), "bounded_by": "eps"}
    assert attack_settings(study, "fgsm", "eps~0.1") == own


def test_the_source_of_a_transfer_does_not_change_how_it_is_made():
    one, other = (
        attack_settings(validate(configured(TRANSFER % ("fgsm", source))), "moved", "eps~0.1")
        for source in ("source_model: wide", "source_seed: 1")
    )
    assert repr(one) == repr(other)


def test_a_transfer_has_the_norm_and_the_modules_of_what_it_takes_over():
    study = validate(configured(TRANSFER % ("fgsm", "source_model: wide")))
    kinds = {
        name: find_attack_kind(study, study.find("attacks", name))
        for name in ("fgsm", "pgd_l2", "moved", "twice")
    }
    assert {name: kind.norm for name, kind in kinds.items()} == {
        "fgsm": "linf",
        "pgd_l2": "l2",
        "moved": "linf",
        "twice": "l2",
    }
    assert kinds["moved"].family == kinds["twice"].family == "transfer"
    assert not kinds["moved"].queries_model
    assert attack_modules(study, "fgsm") == ["epsigma.attacks.fgsm"]
    assert attack_modules(study, "twice") == ["epsigma.attacks.transfer", "epsigma.attacks.pgd"]


def test_the_kind_of_a_filter_is_found_by_its_name():
    study = validate(configured())
    assert study.find("filters", "band").entry is FILTERS["bandpass"]
    assert study.find("filters", "none").entry is FILTERS["none"]


@pytest.mark.parametrize(
    ("section", "text", "name", "random"),
    [
        ("attacks", "attacks: [{kind: pgd, eps: [0.1]}]", "pgd", True),
        ("attacks", "", "fgsm", False),
        ("filters", "filters: [{kind: noise, std: [0.1]}]", "noise", True),
        ("filters", "", "gaussian", False),
    ],
)
def test_settings_say_whether_a_kind_draws(section, text, name, random):
    made = settings(validate(configured(text)), section, name)
    assert made.get("random", False) is random
    assert ("random" in made) is random


# --- Models of the user's own making, and weights


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Modules and weights of the user's, in a working directory: the module's name."""
    name = f"nets_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text("raise ImportError('it is not to be imported')")
    (tmp_path / f"{name}_bad.py").write_text("x = 1\ndef make(:\n")
    (tmp_path / "w.pt").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_factory_and_weights_that_are_there_are_accepted_and_not_imported(own):
    text = f"models: [{{kind: factory, name: mine, factory: '{own}:make', checkpoint: w.pt}}]"
    study = validate(configured(text))
    model = study.find("models", "mine")
    assert (model["checkpoint"], model["parameters"]) == ("w.pt", {})
    assert settings(study, "models", "mine") == {
        "implementation": "epsigma.models.factory:make",
        "parameters": {"factory": f"{own}:make", "parameters": {}},
    }
    assert model_modules(study, "mine") == ["epsigma.models.factory", own]
    assert model_modules(validate(configured()), "mlp") == ["epsigma.models.mlp"]
    assert own not in sys.modules


def test_parameters_of_a_factory_are_handed_on_as_they_are(own):
    given = {"widths": [1, 2], "deep": {"a": None, "b": 0.5}, "flag": True, "name": "x"}
    models = [{"kind": "factory", "name": "m", "factory": f"{own}:make", "parameters": given}]
    study = validate({**configured(), "models": models})
    assert settings(study, "models", "m")["parameters"]["parameters"] == given


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (
            "models: [{kind: factory, name: m}]",
            "models[0] (m)",
            ["key factory is missing"],
        ),
        (
            "models: [{kind: factory, name: m, factory: nets.py}]",
            "models[0] (m).factory",
            ["'nets.py' does not match", "write it like package.module:function"],
        ),
        (
            "models: [{kind: factory, name: m, factory: 'no_such_nets:make'}]",
            "models[0] (m).factory",
            ["no source of no_such_nets", "working directory (", "Python's path", "correct the"],
        ),
        (
            "models: [{kind: factory, name: m, factory: 'OWN_bad:make'}]",
            "models[0] (m).factory",
            ["OWN_bad.py, line 2, is no Python"],
        ),
        (
            "models: [{kind: factory, name: m, factory: 'OWN:make', parameters: [1]}]",
            "models[0] (m).parameters",
            ["[1] is not of type object"],
        ),
        (
            "models: [{kind: factory, name: m, factory: 'OWN:make', parameters: {a-b: 1}}]",
            "models[0] (m).parameters",
            ["'a-b' does not match"],
        ),
        (
            "models: [{kind: factory, name: m, factory: 'OWN:make', parameters: {5: 1}}]",
            "models[0] (m).parameters",
            ["5 is not of type string"],
        ),
        (
            "models: [{kind: factory, name: m, factory: 'OWN:make', parameters: {x: 2020-01-01}}]",
            "models[0] (m).parameters.x",
            ["datetime.date(2020, 1, 1) is not of type number or string"],
        ),
        (
            "models: [{kind: factory, name: m, factory: 'OWN:make', width: 5}]",
            "models[0] (m)",
            ["unknown key width; allowed: factory, parameters"],
        ),
        ("models: [{kind: mlp, checkpoint: 5}]", "models[0].checkpoint", ["string or null"]),
        ("models: [{kind: mlp, checkpoint: ''}]", "models[0].checkpoint", ["non-empty"]),
        (
            "models: [{kind: mlp, checkpoint: none.pt}]",
            "models[0] (mlp).checkpoint",
            ["none.pt does not exist", "relative to the working directory ("],
        ),
        (
            "models: [{kind: mlp, checkpoint: folder}]",
            "models[0] (mlp).checkpoint",
            ["folder is no file", "name the file of the weights"],
        ),
        (
            "{models: [{kind: cnn}, {kind: mlp, checkpoint: w.pt}], seeds: [3, 1]}",
            "models[1] (mlp).checkpoint",
            ["the same from every seed", "2 seeds would count them as 2 models", "seeds: [3]"],
        ),
        (
            "datasets: [{kind: digits, checkpoint: w.pt}]",
            "datasets[0] (digits)",
            ["unknown key checkpoint"],
        ),
        (
            """
            models: [{kind: mlp, checkpoint: w.pt}]
            attacks: [{kind: fgsm, eps: [0]}, {kind: transfer, attack: fgsm, eps: [0],
                       source_seed: 7}]
            """,
            "attacks[1] (transfer).source_seed",
            ["the weights of mlp are those of its checkpoint", "name another source_model"],
        ),
    ],
)
def test_a_fault_of_the_user_s_own_model_is_reported_with_the_remedy(own, text, key, said):
    (fault,) = faults(text.replace("OWN", own))
    named, _, what = fault.partition(": ")
    assert named == key
    assert [words for words in said if words.replace("OWN", own) not in what] == []


def test_a_transfer_from_the_user_s_own_weights_onto_another_model_is_accepted(own):
    text = """
        models: [{kind: mlp, checkpoint: w.pt}, {kind: cnn}]
        attacks: [{kind: fgsm, eps: [0]}, {kind: transfer, attack: fgsm, eps: [0],
                   source_model: mlp, source_seed: 0}]
        """
    assert validate(configured(text))
    text = text.replace("source_model: mlp, source_seed: 0", "source_model: cnn, source_seed: 7")
    assert validate(configured(text))


# --- Rows


@pytest.mark.parametrize(
    ("attack", "level", "rows", "without"),
    [
        ("kind: fgsm, eps: [0.1]", "eps~0.1", {}, ()),
        ("kind: fgsm, eps: [0.1], examples: 7", "eps~0.1", {"examples": 7}, ()),
        ("kind: jsma, gamma: [0.1]", "gamma~0.1", {"targets": "all"}, ("targets",)),
        (
            "kind: jsma, gamma: [0.1], targets: [3, 1], examples: 5",
            "gamma~0.1",
            {"targets": [3, 1], "examples": 5},
            ("targets",),
        ),
        (
            "kind: carlini_wagner, kappa: [0]",
            "kappa~0",
            {"targets": "untargeted"},
            ("targets",),
        ),
        # Fooling images are not made of test images.
        (
            "kind: fooling, confidence: [0.9], images: 3",
            "confidence~0.9",
            {"images": 3},
            ("images",),
        ),
        (
            "kind: fooling_evolution, confidence: [0.9]",
            "confidence~0.9",
            {"images": 10},
            ("images",),
        ),
    ],
)
def test_settings_of_an_attack_say_what_it_attacks_apart_from_its_hyper_parameters(
    attack, level, rows, without
):
    study = validate(configured(f"attacks: [{{{attack}, name: mine}}]"))
    found = attack_settings(study, "mine", level)
    about = ("implementation", "parameters", "random", "bounded_by")
    assert {key: value for key, value in found.items() if key not in about} == rows
    kind = find_attack_kind(study, study.find("attacks", "mine"))
    assert found.get("bounded_by") == (kind.swept if kind.norm else None)
    assert set(found["parameters"]) == set(kind.schemas) - set(without)
    assert found["parameters"][kind.swept] == grid.Level.parse(level).value


def test_how_many_examples_are_attacked_changes_no_cell():
    few = "attacks: [{kind: fgsm, eps: [0, 0.1], examples: 5}]"
    one, other = (list(grid.cells(validate(configured(text)))) for text in ("", few))
    assert one == other


BLOCKS = {
    "datasets": Dataset,
    "models": Model,
    "attacks": Attack,
    "filters": Filter,
    "autoencoders": Autoencoder,
    "detectors": Detector,
}
GENERAL_KEYS = {
    "datasets": {"kind", "name"},
    "models": {
        *("kind", "name", "training", "checkpoint", "checkpoint_key"),
        *("preprocess", "normalize", "defends"),
    },
    "attacks": {
        *("kind", "name", "threats", "eot_samples", "gradient", "examples"),
        *("datasets", "models", "filters"),
    },
    "filters": {"kind", "name", "threats", "then", "detectors", "models"},
    "autoencoders": {"kind", "name", "training"},
    "detectors": {"kind", "name", "false_positive_rate"},
}


@pytest.mark.parametrize("section", [name for name in REGISTRIES if name != "datasets"])
def test_the_keys_of_every_block_are_described_whatever_its_kind(section):
    keys = BLOCKS[section].model_fields
    assert set(keys) == GENERAL_KEYS[section]
    assert all(about.description.strip() for about in keys.values())


@pytest.mark.parametrize("section", REGISTRIES)
def test_no_kind_has_a_hyper_parameter_that_is_a_key_of_every_block(section):
    for kind in REGISTRIES[section].values():
        assert not set(kind.schemas) & GENERAL_KEYS[section]


def test_no_kind_of_training_has_a_hyper_parameter_that_is_a_key_of_every_training():
    for kind in TRAININGS.values():
        assert not set(kind.schemas) & set(TRAINING)


# What implementations refuse, and a configuration therefore may not have.
REFUSED = [
    ("jsma", "gamma", [-0.1, 1.1]),
    ("jsma", "theta", [0, 0.0, -1.5, 1.5]),
    ("jsma", "outputs", ["margin"]),
    ("jsma", "memory", [0]),
    ("carlini_wagner", "kappa", [-1]),
    ("carlini_wagner", "steps", [0]),
    ("carlini_wagner", "search_steps", [0]),
    ("carlini_wagner", "learning_rate", [0, -1]),
    ("carlini_wagner", "initial_c", [0, -1]),
    ("fooling", "confidence", [0, 1, 1.5]),
    ("fooling", "start", ["zero"]),
    ("fooling", "steps", [0]),
    ("fooling", "learning_rate", [0]),
    ("fooling_evolution", "confidence", [0, 1]),
    ("fooling_evolution", "generations", [0]),
    ("fooling_evolution", "offspring", [0]),
    ("fooling_evolution", "mutation_rate", [0, 1.5]),
    ("fooling_evolution", "mutation_strength", [-1]),
    ("pgd", "eps", [-0.1, 1.1]),
    ("pgd", "step_size", [0]),
    ("pgd", "restarts", [0]),
]
LEAST = {"jsma": 0.1, "carlini_wagner": 0, "fooling": 0.5, "fooling_evolution": 0.5, "pgd": 0.1}


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [(name, parameter, value) for name, parameter, values in REFUSED for value in values],
)
def test_what_an_implementation_refuses_its_schema_rejects(name, parameter, value):
    import torch
    from torch import nn

    kind = ATTACKS[name]
    given = {kind.swept: LEAST[name], parameter: value}
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).requires_grad_(False)
    images, labels = torch.rand(1, 1, 2, 2), torch.tensor([0])
    targets = {"targets": torch.tensor([1])} if kind.targeted else {}
    with pytest.raises(ValueError, match=parameter):
        load(kind.implementation)(model, images, labels, **given, **targets)
    block = {"kind": name, **given, kind.swept: [given[kind.swept]]}
    with pytest.raises(ConfigurationError, match=parameter):
        validate({**configured(), "attacks": [block]})


# --- Kinds of one's own


OWN_KINDS = """
from typing import Literal

from epsigma.kinds import AttackKind, DatasetKind, FilterKind, Hyperparameters


class Push(Hyperparameters):
    eps: float


class Aim(Hyperparameters):
    targets: Literal["all"] = "all"


class Shelf(Hyperparameters):
    path: str


PUSH = AttackKind("mine.push:push", Push, swept="eps", norm="l2")
AIM = AttackKind("mine.push:aim", Aim, targeted=True)
_HIDDEN = PUSH
SOFT = FilterKind("mine.soft:soft", gradient="exact")
SHELF = DatasetKind("mine.shelf:shelf", Shelf, source="path")
LOST = AttackKind("gone:push", Push, swept="eps", norm="l2")
ASTRAY = FilterKind("gone:soft", gradient="exact")
NUMBER = 5
"""


@pytest.fixture
def kinds(tmp_path, monkeypatch):
    """A module of the user's own, by its name; another that raises is `{name}_broken`."""
    name = f"kinds_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(OWN_KINDS, encoding="utf-8")
    (tmp_path / f"{name}_broken.py").write_text("1 / 0", encoding="utf-8")
    (tmp_path / f"{name}_wrong.py").write_text("def", encoding="utf-8")
    old = (
        "import epsigma.kinds\nOLD = epsigma.kinds.DatasetKind('mine:old', parameters={'path': {}})"
    )
    (tmp_path / f"{name}_old.py").write_text(old, encoding="utf-8")
    for module in ("push", "soft", "shelf"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"{module}.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_kind_of_one_s_own_is_run_like_any_other(kinds):
    text = f"""
    datasets: [{{kind: "{kinds}:SHELF", path: here.npz}}]
    attacks: [{{kind: "{kinds}:PUSH", eps: [0, 2]}}, {{kind: "{kinds}:AIM", name: aimed}}]
    filters: [{{kind: "{kinds}:SOFT"}}]
    """
    study = validate(configured(text))
    assert validate(study).dump() == study.dump()
    # The entry's name, in small letters, is the block's.
    assert [block["name"] for block in study["attacks"]] == ["push", "aimed"]
    assert attack_settings(study, "push", "eps~2") == {
        "implementation": "mine.push:push",
        "parameters": {"eps": 2},
        "bounded_by": "eps",
    }
    assert attack_settings(study, "aimed", "fixed") == {
        "implementation": "mine.push:aim",
        "parameters": {},
        "targets": "all",
    }
    assert find_attack_kind(study, study.find("attacks", "push")).norm == "l2"
    assert attack_modules(study, "push") == ["mine.push"]
    assert study.find("filters", "soft").entry.gradient == "exact"
    assert study.find("datasets", "shelf").own_source == "here.npz"
    found = {(cell.attack, str(cell.budget), cell.filter) for cell in grid.cells(study)}
    assert found == {
        (attack, budget, name)
        for attack, budget in (("push", "eps~0"), ("push", "eps~2"), ("aimed", "fixed"))
        for name in ("none", "soft")
    }


@pytest.mark.parametrize(
    ("section", "entry", "key", "said"),
    [
        ("attacks", ":NOTHING", "kind", "has no 'NOTHING'"),
        ("attacks", "_gone:PUSH", "kind", "in the working directory"),
        ("attacks", "_broken:PUSH", "kind", "ZeroDivisionError: division by zero"),
        ("attacks", "_wrong:PUSH", "kind", "SyntaxError"),
        (
            "datasets",
            "_old:OLD",
            "kind",
            "hyper-parameters are a class now, of which CONTRIBUTING.md",
        ),
        ("attacks", ":NUMBER", "kind", "is 5, which is no AttackKind of epsigma.kinds"),
        ("attacks", ":SOFT", "kind", "no AttackKind"),
        ("filters", ":PUSH", "kind", "no FilterKind"),
        ("datasets", ":PUSH", "kind", "no DatasetKind"),
        # Paths could not be told from others.
        ("attacks", ":_HIDDEN", "name", "give the block a `name`"),
    ],
)
def test_what_is_no_kind_is_reported_with_the_reason(kinds, section, entry, key, said):
    found = faults(f"{section}: [{{kind: '{kinds}{entry}', eps: [0]}}]")
    (fault,) = [line for line in found if key in line.partition(": ")[0]]
    assert said in fault


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("attacks: [{kind: '%s:LOST', eps: [0]}]", "attacks[0] (lost).kind"),
        ("filters: [{kind: '%s:ASTRAY'}]", "filters[0] (astray).kind"),
        (
            "filters: [{kind: gaussian, sigma: [1], then: [{kind: '%s:ASTRAY'}]}]",
            "filters[0] (gaussian).then[0].kind",
        ),
        ("models: [{kind: factory, factory: 'gone:net'}]", "models[0] (factory).factory"),
    ],
)
def test_code_of_one_s_own_that_is_not_there_is_a_fault_of_the_configuration(kinds, text, at):
    (fault,) = faults(text % kinds if "%" in text else text)
    assert fault.partition(": ")[0] == at
    assert f"there is no source of gone, neither in the working directory ({Path.cwd()})" in fault


# --- Smoothing


NOISE = "filters: [{kind: noise, std: [0.1]}]"


def test_defaults_are_filled_in_for_smoothing():
    study = validate(configured(NOISE + "\nproofs: {smoothing: {}}"))
    assert study.dump()["proofs"] == {
        "smoothing": {"samples": 10000, "selection": 100, "alpha": 0.001, "examples": 500},
        "exact_examples": 0,
        "seconds": 10,
    }


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("{kind: noise, std: [0.1]}", ["noise"]),
        ("{kind: noise, std: [0.1], then: [{kind: bitdepth, bits: 2}]}", ["noise"]),
        ("{kind: noise, std: [0.1], name: loud}, {kind: gaussian, sigma: [1]}", ["loud"]),
        # The stage refuses it, and says why.
        ("{kind: gaussian, sigma: [1], then: [{kind: noise, std: 1}]}", ["gaussian"]),
    ],
)
def test_filters_that_draw_are_smoothed_where_a_study_asks_for_it(filters, expected):
    text = f"filters: [{filters}]"
    assert validate(configured(text)).smoothed_filters == []
    assert validate(configured(text + "\nproofs: {}")).smoothed_filters == []
    asked = validate(configured(text + "\nproofs: {smoothing: {}}"))
    assert asked.smoothed_filters == expected


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (
            "filters: [{kind: gaussian, sigma: [1]}]\nproofs: {smoothing: {}}",
            "proofs.smoothing",
            ["no filter of the study draws", "kind noise"],
        ),
        (
            NOISE + "\nproofs: {smoothing: {samples: 9}}",
            "proofs.smoothing.samples",
            ["all of 9 draws agree", "alpha = 0.001", "at least 10"],
        ),
        (
            NOISE + "\nproofs: {smoothing: {samples: 1, alpha: 0.5}}",
            "proofs.smoothing.samples",
            ["all of 1 draws", "at least 2"],
        ),
        (
            NOISE + "\nproofs: {smoothing: {alpha: 0}}",
            "proofs.smoothing.alpha",
            ["too small", "greater than 0"],
        ),
        (
            NOISE + "\nproofs: {smoothing: {draws: 5}}",
            "proofs.smoothing",
            ["unknown key draws", "samples, selection, alpha, examples"],
        ),
        (
            NOISE + "\nproofs: {samples: 100}",
            "proofs",
            ["unknown key samples", "exact_examples, seconds, smoothing"],
        ),
    ],
)
def test_smoothing_that_can_certify_nothing_is_refused(text, key, said):
    (fault,) = faults(text)
    named, _, what = fault.partition(": ")
    assert named == key
    assert [words for words in said if words not in what] == []


@pytest.mark.parametrize("samples", [10, 2])
def test_as_few_draws_as_can_certify_something_are_enough(samples):
    alpha = 0.001 if samples == 10 else 0.49
    text = f"proofs: {{smoothing: {{samples: {samples}, alpha: {alpha}}}}}"
    assert validate(configured(f"{NOISE}\n{text}"))
