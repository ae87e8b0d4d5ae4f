"""What a message about a study says to do makes it one that can be run."""

import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from epsigma.study import ConfigurationError, check_keys, validate

STUDY = """
datasets: [{kind: digits}]
models: [{kind: mlp}]
attacks: [{kind: fgsm, eps: [0, 0.1]}]
filters: [{kind: gaussian, sigma: [1]}]
"""
TRANSFER = "{kind: transfer, attack: fgsm, eps: [0.1]"
LEARNT = (
    "autoencoders: [{kind: convolutional, name: deep}, {kind: pca, name: flat, components: 10}]"
)
SMOOTHED = "filters: [{kind: noise, std: [0.1]}]\nproofs: {smoothing: "
# What is wrong, what the message says to do, and that done.
ROWS = {
    "a key that is not known": ("seed: [1]", "unknown key seed; allowed: ", "seeds: [1]"),
    "a key that is missing": ("attacks: [{kind: fgsm}]", "the key eps is missing", ""),
    "a key that is no word": ("{5: 1}", "unknown key 5; allowed: ", ""),
    "a value for a list": ("seeds: 1", "write a list: [1]", "seeds: [1]"),
    "a block for a list": (
        "datasets: digits",
        "write a list of blocks: [{kind: digits, …}]",
        "datasets: [{kind: digits}]",
    ),
    "a list for a value": (
        "models: [{kind: mlp, hidden: [5]}]",
        "it is one value here, not a list",
        "models: [{kind: mlp, hidden: 5}]",
    ),
    "a number in quotes": ("seeds: ['1']", "a string in YAML; write 1", "seeds: [1]"),
    "a number in YAML's eyes none": (
        "attacks: [{kind: fgsm, eps: [1e-3]}]",
        "a string in YAML; write 0.001",
        "attacks: [{kind: fgsm, eps: [0.001]}]",
    ),
    "a fraction over 0": (
        "attacks: [{kind: fgsm, eps: [8/0]}]",
        "a fraction is one number over another that is not 0, such as 8/255",
        "attacks: [{kind: fgsm, eps: [8/255]}]",
    ),
    "a word for a truth value": ("strict: 'no'", "write true or false", "strict: false"),
    "a number for a truth value": ("strict: 0", "write true or false", "strict: false"),
    "a number for a word": (
        "models: [{kind: 5}]",
        "YAML takes it for something else: write '5', in quotes",
        "models: [{kind: 'mlp'}]",
    ),
    "a number for a folder": ("data_dir: 2024", "write it in quotes, or", "data_dir: '2024'"),
    "a number for a folder, after --config": (
        "data_dir: 2024",
        "after --config, with ./ before it",
        "data_dir: ./2024",
    ),
    "an empty word": ("data_dir: ''", "should be non-empty", "data_dir: data"),
    "nothing": ("device:", "None is not allowed; allowed: auto, cpu, cuda", "device: auto"),
    "a word that is none of some": ("device: gpu", "allowed: auto, cpu, cuda", "device: cuda"),
    "too small": ("seeds: [-1]", "too small; it is at least 0", "seeds: [0]"),
    "too large": (
        "attacks: [{kind: fgsm, eps: [2]}]",
        "too large; it is at most 1",
        "attacks: [{kind: fgsm, eps: [1]}]",
    ),
    "at the lower end": (
        "filters: [{kind: gaussian, sigma: [0]}]",
        "too small; it is greater than 0",
        "filters: [{kind: gaussian, sigma: [0.01]}]",
    ),
    "at the upper end": (
        "models: [{kind: mlp, training: {validation: 1}}]",
        "too large; it is less than 1",
        "models: [{kind: mlp, training: {validation: 0.99}}]",
    ),
    "no number": ("attacks: [{kind: fgsm, eps: [.nan]}]", "nan is not a finite number", ""),
    "a number of too many bits": (
        f"seeds: [1{'0' * 400}]",
        "is more than any number here holds",
        "seeds: [1]",
    ),
    "a loop": ("seeds: &a [*a]", "write it out, without the alias", "seeds: [0]"),
    "a depth": (
        f"seeds: {'[' * 50}{']' * 50}",
        "nested more than 20 deep; nothing here is",
        "seeds: [0]",
    ),
    "an empty list": ("models: []", "it takes at least 1", "models: [{kind: mlp}]"),
    "a value twice": ("seeds: [0, 0]", "remove the duplicate", "seeds: [0]"),
    "two values of one spelling": (
        "filters: [{kind: gaussian, sigma: [9007199254740992, 9007199254740993]}]",
        "is there already; remove the duplicate",
        "filters: [{kind: gaussian, sigma: [9007199254740992]}]",
    ),
    "a value too long for a name": (
        "filters: [{kind: gaussian, sigma: [5.0e-324]}]",
        "characters in the name of a file; at most 100",
        "filters: [{kind: gaussian, sigma: [0.001]}]",
    ),
    "a name that is too long": (
        f"models: [{{kind: mlp, name: {'a' * 101}}}]",
        "are too many for the name of a file; at most 100",
        f"models: [{{kind: mlp, name: {'a' * 100}}}]",
    ),
    "a name that is no name": (
        "models: [{kind: mlp, name: My-MLP}]",
        "write it like my_mlp",
        "models: [{kind: mlp, name: my_mlp}]",
    ),
    "a name that is taken": (
        "filters: [{kind: gaussian, sigma: [1], name: none}]",
        "is taken; choose another",
        "filters: [{kind: gaussian, sigma: [1], name: soft}]",
    ),
    "a name twice": (
        "models: [{kind: mlp}, {kind: mlp}]",
        "has this name already; give one of them another `name`",
        "models: [{kind: mlp}, {kind: mlp, name: other}]",
    ),
    "a kind that there is not": (
        "models: [{kind: vgg}]",
        "there is no 'vgg' here; allowed: mlp",
        "models: [{kind: mlp}]",
    ),
    "a factory without a function": (
        "models: [{kind: factory, name: m, factory: json.py}]",
        "write it like package.module:function",
        "models: [{kind: factory, name: m, factory: 'json:loads'}]",
    ),
    "a path that goes up": (
        "datasets: [{kind: file, path: ../own.npz}]",
        "is not a path within data_dir: relative, and without `..`",
        "datasets: [{kind: file, path: own.npz}]",
    ),
    "a window without a middle": (
        "filters: [{kind: nonlocal_means, strength: [0.1], patch: 4}]",
        "is even; a window has a pixel in the middle",
        "filters: [{kind: nonlocal_means, strength: [0.1], patch: 5}]",
    ),
    "a parameter of a factory": (
        "models: [{kind: factory, name: m, factory: 'json:loads', parameters: {x: 2020-01-01}}]",
        "is not of type number or string or boolean or null or array or object",
        "models: [{kind: factory, name: m, factory: 'json:loads', parameters: {x: '2020-01-01'}}]",
    ),
    "targets twice": (
        "attacks: [{kind: jsma, gamma: [0.1], targets: [1, 1]}]",
        "remove the duplicate",
        "attacks: [{kind: jsma, gamma: [0.1], targets: [1]}]",
    ),
    "a class that there is not": (
        "attacks: [{kind: jsma, gamma: [0.1], targets: [3, 10]}]",
        "there is no class 10 in digits; allowed: 0 to 9",
        "attacks: [{kind: jsma, gamma: [0.1], targets: [3, 9]}]",
    ),
    "a share that allows nothing": (
        "attacks: [{kind: jsma, gamma: [0.001]}]",
        "that are changed at once; at least 2/64, or 0",
        "attacks: [{kind: jsma, gamma: [0, 2/64]}]",
    ),
    "a threat that a kind does not know": (
        "attacks: [{kind: fgsm, eps: [0], threats: [white]}]",
        "allowed: blind, aware",
        "attacks: [{kind: fgsm, eps: [0], threats: [aware]}]",
    ),
    "examples of fooling images": (
        "attacks: [{kind: fooling, confidence: [0.9], examples: 5}]",
        "say with `images` how many to make for each class",
        "attacks: [{kind: fooling, confidence: [0.9], images: 5}]",
    ),
    "a transfer of nothing": (
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER.replace('fgsm', 'pgd')}, source_seed: 7}}]",
        "'pgd' is not allowed; allowed: fgsm",
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER}, source_seed: 7}}]",
    ),
    "a transfer from nowhere": (
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER}, source_model: cnn}}]",
        "there is no model 'cnn'; allowed: mlp, or null",
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER}, source_model: null, source_seed: 7}}]",
    ),
    "a transfer onto itself": (
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER}}}]",
        "name another source_model or source_seed",
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER}, source_seed: 7}}]",
    ),
    "weights that are not there": (
        "models: [{kind: mlp, checkpoint: none.pt}]",
        "does not exist; name the file of the weights, relative to the working directory",
        "models: [{kind: mlp, checkpoint: weights.pt}]",
    ),
    "weights that are a folder": (
        "models: [{kind: mlp, checkpoint: folder}]",
        "is no file; name the file of the weights",
        "models: [{kind: mlp, checkpoint: weights.pt}]",
    ),
    "weights from many seeds": (
        "models: [{kind: mlp, checkpoint: weights.pt}]\nseeds: [3, 1]",
        "set seeds: [3]",
        "models: [{kind: mlp, checkpoint: weights.pt}]\nseeds: [3]",
    ),
    "weights from many seeds, trained": (
        "models: [{kind: mlp, checkpoint: weights.pt}]\nseeds: [3, 1]",
        "or train the model here",
        "models: [{kind: mlp}]\nseeds: [3, 1]",
    ),
    "weights of a transfer's seed": (
        "models: [{kind: mlp, checkpoint: weights.pt}, {kind: cnn}]\n"
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER}, source_model: mlp, source_seed: 7}}]",
        "leave source_seed out, and name another source_model",
        "models: [{kind: mlp, checkpoint: weights.pt}, {kind: cnn}]\n"
        f"attacks: [{{kind: fgsm, eps: [0]}}, {TRANSFER}, source_model: cnn}}]",
    ),
    "a model that defends nothing": (
        "models: [{kind: mlp}, {kind: cnn, defends: vgg}]",
        "there is no model 'vgg' beside it; allowed: mlp, or null",
        "models: [{kind: mlp}, {kind: cnn, defends: mlp}]",
    ),
    "a model that defends itself": (
        "models: [{kind: mlp, defends: mlp}]",
        "there is no model 'mlp' beside it; allowed: null",
        "models: [{kind: mlp, defends: null}]",
    ),
    "an autoencoder that there is not": (
        "filters: [{kind: reformer, passes: [1], autoencoder: deep}]",
        "there is no autoencoder 'deep'; allowed: none, for the study has no `autoencoders`",
        "filters: [{kind: reformer, passes: [1], autoencoder: deep}]\n"
        "autoencoders: [{kind: convolutional, name: deep}]",
    ),
    "components of what keeps none": (
        f"filters: [{{kind: pca, components: [5], autoencoder: deep}}]\n{LEARNT}",
        "is of the kind convolutional, which keeps no principal components; name one of the kind",
        f"filters: [{{kind: pca, components: [5], autoencoder: flat}}]\n{LEARNT}",
    ),
    "more components than are kept": (
        f"filters: [{{kind: pca, components: [5, 12], autoencoder: flat}}]\n{LEARNT}",
        "12 is more than the 10 that 'flat' keeps of an image; ask for fewer",
        f"filters: [{{kind: pca, components: [5, 10], autoencoder: flat}}]\n{LEARNT}",
    ),
    "more components than are kept, kept": (
        f"filters: [{{kind: pca, components: [12], autoencoder: flat}}]\n{LEARNT}",
        "or raise the `components` of flat",
        "filters: [{kind: pca, components: [12], autoencoder: flat}]\n"
        f"{LEARNT.replace('10', '12')}",
    ),
    "more components than an image has": (
        "filters: [{kind: pca, components: [65], autoencoder: flat}]\n"
        f"{LEARNT.replace('10', '100')}",
        "65 is more than the 64 that 'flat' keeps of an image; ask for fewer",
        "filters: [{kind: pca, components: [64], autoencoder: flat}]\n"
        f"{LEARNT.replace('10', '100')}",
    ),
    "a detector that there is not": (
        "filters: [{kind: identity, detectors: [d]}]",
        "there is no detector 'd'; allowed: none, for the study has no `detectors`",
        "filters: [{kind: identity, detectors: [d]}]\n"
        "detectors: [{kind: squeezing, name: d, filters: [{kind: bitdepth, bits: 1}]}]",
    ),
    "a filter that does nothing": (
        "filters: [{kind: identity}]",
        "leave it out: no filter is always included",
        "filters: []",
    ),
    "a filter that does nothing, with detectors": (
        "filters: [{kind: identity}]",
        "it changes nothing, and nothing looks at what it is given; give it `detectors`",
        "filters: [{kind: identity, detectors: [squeezing]}]\n"
        "detectors: [{kind: squeezing, filters: [{kind: bitdepth, bits: 1}]}]",
    ),
    "a model that an attack is for": (
        "attacks: [{kind: fgsm, eps: [0], models: [cnn]}]",
        "there is no model 'cnn'; allowed: mlp",
        "attacks: [{kind: fgsm, eps: [0], models: [mlp]}]",
    ),
    "a data set that an attack is for": (
        "attacks: [{kind: fgsm, eps: [0], datasets: [mnist]}]",
        "there is no data set 'mnist'; allowed: digits",
        "attacks: [{kind: fgsm, eps: [0], datasets: [digits]}]",
    ),
    "a filter that an attack meets": (
        "attacks: [{kind: fgsm, eps: [0], filters: [median]}]",
        "there is no filter 'median'; allowed: gaussian",
        "attacks: [{kind: fgsm, eps: [0], filters: [gaussian]}]",
    ),
    "a strength that an attack meets": (
        "attacks: [{kind: fgsm, eps: [0], filters: [gaussian/sigma~2]}]",
        "there is no 'gaussian/sigma~2'; allowed: gaussian, gaussian/sigma~1",
        "attacks: [{kind: fgsm, eps: [0], filters: [gaussian/sigma~1]}]",
    ),
    "a check that there is not": (
        "checks: [lodgits]",
        "there is no 'lodgits' here; allowed: all, cheap, or a list of logits",
        "checks: [logits]",
    ),
    "all checks in a list": (
        "checks: [all]",
        "there is no 'all' here; allowed: all, cheap",
        "checks: all",
    ),
    "checks that are a number": ("checks: 3", "3 is not allowed; it is which checks", ""),
    "a figure that there is not": (
        "figures: {kinds: [threats]}",
        "there is no 'threats' here; allowed: all, or a list of attack_accuracy",
        "figures: {kinds: [attack_accuracy]}",
    ),
    "a part that there is not": (
        "only: {filters: [median]}",
        "there is no 'median'; allowed: gaussian",
        "only: {filters: [gaussian]}",
    ),
    "a part of nothing": (
        "only: {models: []}",
        "nothing is left of the models; name more",
        "only: {models: [mlp]}",
    ),
    "smoothing without noise": (
        "proofs: {smoothing: {}}",
        "add one of kind noise, or leave smoothing out",
        "filters: [{kind: noise, std: [0.1]}]\nproofs: {smoothing: {}}",
    ),
    "smoothing without noise, left out": (
        "proofs: {smoothing: {}}",
        "or leave smoothing out",
        "proofs: {}",
    ),
    "draws that prove nothing": (
        f"{SMOOTHED}{{samples: 5}}}}",
        "that is no proof at alpha = 0.001; at least 10",
        f"{SMOOTHED}{{samples: 10}}}}",
    ),
}


def study(text: str) -> dict[str, Any]:
    """The study of this file, with top-level keys replaced by those of a YAML text."""
    return {**yaml.safe_load(STUDY), **(yaml.safe_load(text) or {})}


def said_of(config: dict[str, Any]) -> str:
    """The one line that is said about a study with a fault."""
    with pytest.raises(ConfigurationError) as raised:
        validate(config)
    _, line = str(raised.value).splitlines()
    return line


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with weights and a folder."""
    (tmp_path / "weights.pt").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("wrong", "remedy", "right"), ROWS.values(), ids=ROWS)
def test_a_study_can_be_run_once_that_is_done(
    beside: Path, wrong: str, remedy: str, right: str
) -> None:
    assert remedy in said_of(study(wrong))
    assert validate(study(right))


ENTRY = """
from epsigma.kinds import AttackKind, FilterKind, Hyperparameters

class Part(Hyperparameters):
    eps: float

MINE = """
GOOD = 'AttackKind("json:loads", Part, swept="eps", norm="linf")'
FILTER = 'FilterKind("json:loads", Part, swept="eps"{})'
ATTACKS = "attacks: [{kind: 'OWN:MINE', eps: [0.1]}]"
FILTERS = "filters: [{kind: 'OWN:MINE', eps: [0.1]}]"
# Of an entry of one's own: what it is (None: there is no module), in what study, what the message
# says to do, and that done: to the entry, and to the study.
ENTRIES = {
    "no module": (None, ATTACKS, "put it there, or install it", GOOD, ATTACKS),
    "another name": (
        GOOD,
        ATTACKS.replace("MINE", "YOURS"),
        "has no 'YOURS'",
        GOOD,
        ATTACKS,
    ),
    "an error": ("1 / 0", ATTACKS, "ZeroDivisionError: division by zero", GOOD, ATTACKS),
    "no entry": ("5", ATTACKS, "is 5, which is no AttackKind of epsigma.kinds", GOOD, ATTACKS),
    "an entry of another sort": (
        GOOD,
        FILTERS,
        "which is no FilterKind of epsigma.kinds",
        FILTER.format(', gradient="exact"'),
        FILTERS,
    ),
    "parameters of old": (
        'AttackKind("json:loads", parameters={"eps": {}})',
        ATTACKS,
        "hyper-parameters are a class now, of which CONTRIBUTING.md has examples",
        GOOD,
        ATTACKS,
    ),
    "a sweep of nothing": (
        GOOD.replace('"eps"', '"epsilon"'),
        ATTACKS,
        "is no hyper-parameter of json:loads, which has eps",
        GOOD,
        ATTACKS,
    ),
    "a family that there is not": (
        GOOD.replace("norm=", 'family="fast", norm='),
        ATTACKS,
        "family = 'fast' of json:loads; allowed: ",
        GOOD.replace("norm=", 'family="single_step", norm='),
        ATTACKS,
    ),
    "code that there is not": (
        GOOD.replace("json:", "no_such_code:"),
        ATTACKS,
        "write it there, or correct the name",
        GOOD,
        ATTACKS,
    ),
    "a name that is none for files": (
        GOOD + "\n_MINE = MINE",
        ATTACKS.replace("MINE", "_MINE"),
        "give the block a `name`",
        GOOD + "\n_MINE = MINE",
        ATTACKS.replace("MINE'", "_MINE', name: mine"),
    ),
    "a gradient that nobody has said": (
        FILTER.format(""),
        FILTERS,
        "say in its registry entry how to differentiate through it",
        FILTER.format(', gradient="bpda"'),
        FILTERS,
    ),
    "the identity's gradient for who follows none": (
        GOOD,
        "attacks: [{kind: square, eps: [0.1], queries: 5, gradient: identity}]",
        "square follows no gradient; leave it out",
        GOOD,
        "attacks: [{kind: square, eps: [0.1], queries: 5}]",
    ),
    "the identity's gradient for who knows no filter": (
        GOOD,
        "attacks: [{kind: pgd, eps: [0.1], gradient: identity}]",
        "say threats: [aware]",
        GOOD,
        "attacks: [{kind: pgd, eps: [0.1], gradient: identity, threats: [aware]}]",
    ),
    "a gradient that nobody has said, blind": (
        FILTER.format(""),
        FILTERS,
        "or set threats: [blind]",
        FILTER.format(""),
        FILTERS.replace("eps", "threats: [blind], eps"),
    ),
    "a factory that is not there": (
        GOOD,
        "models: [{kind: factory, name: m, factory: 'no_such_code:make'}]",
        "no_such_code, neither in the working directory",
        GOOD,
        "models: [{kind: factory, name: m, factory: 'OWN:make'}]",
    ),
    "a factory that is no Python": (
        "(",
        "models: [{kind: factory, name: m, factory: 'OWN:make'}]",
        ", is no Python: ",
        GOOD,
        "models: [{kind: factory, name: m, factory: 'OWN:make'}]",
    ),
}


@pytest.mark.parametrize(
    ("wrong", "text", "remedy", "right", "then"), ENTRIES.values(), ids=ENTRIES
)
def test_an_entry_of_one_s_own_is_taken_once_that_is_done(
    beside: Path, wrong: str | None, text: str, remedy: str, right: str, then: str
) -> None:
    # Two modules: Python imports one of a name once.
    names = [f"own_{uuid.uuid4().hex}" for _ in range(2)]
    for name, made in zip(names, (wrong, right), strict=True):
        if made is not None:
            (beside / f"{name}.py").write_text(f"{ENTRY}{made}\n", encoding="utf-8")
    assert remedy in said_of(study(text.replace("OWN", names[0])))
    assert validate(study(then.replace("OWN", names[1])))


def test_a_file_with_a_key_twice_is_one_once_these_are_one(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("seeds: [0]\nseeds: [1]\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="put both into one, or remove one"):
        check_keys(path)
    path.write_text("seeds: [0, 1]\n", encoding="utf-8")
    check_keys(path)
