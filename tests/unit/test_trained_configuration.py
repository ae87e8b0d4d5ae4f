import copy
import re

import pytest
import yaml
from epsigma import plan as grid
from epsigma.kinds import FilterKind, TrainingKind
from epsigma.plan.modules import detector_modules, training_modules
from epsigma.plan.settings import (
    detector_settings,
    find_parts,
    locate_parts,
    settings,
    training_settings,
)
from epsigma.registry.filters import FILTERS
from epsigma.registry.trainings import TRAININGS
from epsigma.study import ConfigurationError, expand, validate

STUDY = """
datasets: [{kind: digits}]
autoencoders:
  - {kind: convolutional, name: ae}
detectors:
  - {kind: reconstruction, autoencoder: ae, name: rec}
  - kind: squeezing
    filters: [{kind: bitdepth, bits: 1}, {kind: reformer, autoencoder: ae, passes: 1}]
models:
  - {kind: mlp}
  - {kind: mlp, name: adv, defends: mlp, training: {kind: adversarial, method: fast, eps: 0.2}}
  - {kind: mlp, name: distilled, defends: mlp, training: {kind: distillation, temperature: [1, 20]}}
attacks:
  - {kind: fgsm, eps: [0, 0.1]}
filters:
  - {kind: gaussian, sigma: [1], then: [{kind: median, size: 3}]}
  - {kind: reformer, name: magnet, autoencoder: ae, passes: [1], detectors: [rec]}
  - {kind: identity, name: watched, detectors: [rec, squeezing]}
"""


def configured(change=None):
    study = yaml.safe_load(STUDY)
    if change:
        change(study)
    return study


def faults(change):
    """What is said about a changed study: a list of lines, each `key: what is wrong`."""
    with pytest.raises(ConfigurationError) as raised:
        validate(configured(change))
    head, *lines = str(raised.value).splitlines()
    assert head == "the configuration cannot be run:"
    return [line.removeprefix("  ") for line in lines]


@pytest.fixture(scope="module")
def study():
    return expand(validate(configured()))


def trained(**training):
    """A change: how the model `adv` is trained."""
    return lambda study: study["models"][1].update(training=training)


def written(study, section, name):
    """A block as plain values."""
    return next(block for block in study.dump()[section] if block["name"] == name)


# --- What is valid


def test_the_study_of_this_file_is_valid_and_validating_it_again_changes_nothing():
    once = validate(configured())
    assert validate(once).dump() == once.dump()


def test_defaults_of_a_kind_of_training_are_filled_in(study):
    assert written(study, "models", "adv")["training"] == {
        "kind": "adversarial",
        "method": "fast",
        "eps": 0.2,
        "steps": 10,
        "step_size": None,
        "clean_weight": None,
        "warm_up": 0,
        "epochs": 5,
        "batch_size": 128,
        "learning_rate": 0.001,
        "schedule": "constant",
        "validation": 0.1,
    }
    assert study.find("models", "mlp")["training"]["kind"] == "standard"


def test_defaults_of_autoencoders_and_detectors_are_filled_in(study):
    assert written(study, "autoencoders", "ae") == {
        "kind": "convolutional",
        "name": "ae",
        "training": {
            "epochs": 100,
            "batch_size": 256,
            "learning_rate": 0.001,
            "noise": 0.1,
            "validation": 0.1,
        },
        "channels": 3,
        "pool": "average",
    }
    assert written(study, "detectors", "rec") == {
        "kind": "reconstruction",
        "name": "rec",
        "false_positive_rate": 0.001,
        "autoencoder": "ae",
        "p": 1,
    }
    inner = written(study, "detectors", "squeezing")["filters"]
    assert inner == [
        {"kind": "bitdepth", "bits": 1},
        {"kind": "reformer", "autoencoder": "ae", "passes": 1},
    ]


def test_what_comes_then_has_the_defaults_of_its_kind(study):
    assert written(study, "filters", "gaussian")["then"] == [
        {"kind": "median", "size": 3, "border": "reflect"}
    ]


def test_a_study_without_them_has_none_of_them():
    def change(study):
        del study["autoencoders"], study["detectors"]
        study["filters"], study["models"] = study["filters"][:1], study["models"][:1]

    found = validate(configured(change))
    assert found["autoencoders"] == found["detectors"] == []
    assert found["models"][0]["defends"] is None
    assert found["filters"][0]["detectors"] == []


# --- Sweeps of training


def test_a_swept_training_makes_a_model_of_each_level(study):
    names = [model["name"] for model in study["models"]]
    assert names == ["mlp", "adv", "distilled/temperature~1", "distilled/temperature~20"]
    temperatures = [model["training"].get("temperature") for model in study["models"]]
    assert temperatures == [None, None, 1, 20]
    assert {model["defends"] for model in study["models"][1:]} == {"mlp"}


def test_expanding_changes_nothing_of_what_it_is_given():
    given = validate(configured())
    before = copy.deepcopy(given)
    expand(given)
    assert given == before


@pytest.mark.parametrize(
    ("temperature", "name"),
    [
        (1, "distilled/temperature~1"),
        (20, "distilled/temperature~20"),
        (0.5, "distilled/temperature~0.5"),
        (1.0e-5, "distilled/temperature~0.00001"),
        (100.0, "distilled/temperature~100"),
    ],
)
def test_the_names_of_a_sweep_are_paths_that_the_rules_match(temperature, name):
    def change(study):
        study["models"][2]["training"]["temperature"] = [temperature]

    models = expand(validate(configured(change)))["models"]
    assert models[2]["name"] == name
    assert re.fullmatch(grid.MODEL, name)
    assert models[2].has_teacher


@pytest.mark.parametrize(
    "name",
    [
        "Distilled",
        "distilled/",
        "distilled/temperature",
        "a/b/c",
        "distilled/temperature~020",
        "/x",
    ],
)
def test_other_names_are_none_of_a_model(name):
    assert not re.fullmatch(grid.MODEL, name)


def test_cells_are_of_the_expanded_models_and_of_filters_and_attacks_that_are_for_them():
    def change(study):
        study["attacks"].append({"kind": "pgd", "eps": [0.1], "models": ["distilled"]})
        study["filters"][1]["models"] = ["distilled/temperature~20", "mlp"]

    cells = list(grid.cells(expand(validate(configured(change)))))
    by = {
        name: {cell.model for cell in cells if name in (cell.attack, cell.filter)}
        for name in ("fgsm", "pgd", "magnet", "watched")
    }
    both = {"distilled/temperature~1", "distilled/temperature~20"}
    assert by["fgsm"] == by["watched"] == {"mlp", "adv", *both}
    assert by["pgd"] == both
    assert by["magnet"] == {"mlp", "distilled/temperature~20"}


# --- What jobs are told


def test_a_training_s_settings_are_general_ones_and_the_objective(study):
    assert training_settings(study, "distilled/temperature~20") == {
        "epochs": 5,
        "batch_size": 128,
        "learning_rate": 0.001,
        "schedule": "constant",
        "validation": 0.1,
        "objective": {
            "implementation": "epsigma.training.distillation:Distillation",
            "parameters": {"temperature": 20},
        },
    }
    found = training_settings(study, "adv")["objective"]
    assert found["implementation"] == "epsigma.training.adversarial:Adversarial"
    assert found["parameters"]["eps"] == 0.2


@pytest.mark.parametrize(
    ("name", "teacher", "module"),
    [
        ("mlp", False, "standard"),
        ("adv", False, "adversarial"),
        ("distilled/temperature~1", True, "distillation"),
    ],
)
def test_only_what_is_distilled_has_a_teacher(study, name, teacher, module):
    assert study.find("models", name).has_teacher is teacher
    assert training_modules(study, name) == [f"epsigma.training.{module}"]


def test_weights_from_a_file_have_no_teacher(tmp_path):
    weights = tmp_path / "w.safetensors"
    weights.touch()
    found = expand(
        validate(configured(lambda study: study["models"][2].update(checkpoint=str(weights))))
    )
    assert not found.find("models", "distilled/temperature~20").has_teacher


AE = {
    "autoencoder": "ae",
    "implementation": "epsigma.autoencoders.convolutional:Convolutional",
    "parameters": {"channels": 3, "pool": "average"},
}


def test_a_detector_s_settings_say_how_to_make_what_it_asks(study):
    assert detector_settings(study, "rec") == {
        "detector": "rec",
        "implementation": "epsigma.detectors.reconstruction:Reconstruction",
        "parameters": {"autoencoder": AE, "p": 1},
    }
    one, other = detector_settings(study, "squeezing")["parameters"]["filters"]
    assert one == {
        "implementation": "epsigma.filters.bitdepth:BitDepth",
        "parameters": {"bits": 1},
        "gradient": "bpda",
    }
    assert other["parameters"] == {"autoencoder": AE, "passes": 1}
    assert other["gradient"] == "exact"


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("rec", ["detectors.reconstruction", "autoencoders.convolutional"]),
        (
            "squeezing",
            [
                "detectors.squeezing",
                "autoencoders.convolutional",
                "filters.bitdepth",
                "filters.reformer",
            ],
        ),
    ],
)
def test_the_modules_of_a_detector_are_those_of_its_parts_too(study, name, modules):
    assert sorted(detector_modules(study, name)) == sorted(f"epsigma.{name}" for name in modules)


@pytest.mark.parametrize(
    ("name", "detectors"),
    [("magnet", ["rec"]), ("watched", ["rec", "squeezing"]), ("gaussian", []), ("none", [])],
)
def test_a_filter_is_watched_by_the_detectors_that_it_names(study, name, detectors):
    assert list(study.find("filters", name).detectors) == detectors


def test_what_is_trained_apart_is_found_at_any_depth_the_inner_first(study):
    told = {
        "filter": settings(study, "filters", "magnet"),
        "detectors": [detector_settings(study, name) for name in ("rec", "squeezing")],
    }
    found = [one.get("detector") or one["autoencoder"] for one in find_parts(told)]
    assert found == ["ae", "ae", "rec", "ae", "squeezing"]
    assert list(find_parts(settings(study, "filters", "gaussian"))) == []


def test_what_is_found_is_located_and_nothing_is_changed(study):
    told = {"detectors": [detector_settings(study, "rec")]}
    before = copy.deepcopy(told)

    def path_of(found):
        return f"/{found.get('detector') or found['autoencoder']}"

    (made,) = locate_parts(told, path_of)["detectors"]
    assert made["threshold"] == "/rec"
    assert made["parameters"]["autoencoder"]["checkpoint"] == "/ae"
    assert told == before
    # Where it is told already, it stays.
    made["threshold"] = "/elsewhere"
    assert locate_parts(made, path_of)["threshold"] == "/elsewhere"


# --- Faults


def first_filter(**changed):
    return lambda study: study["filters"][0].update(changed)


def first_detector(**changed):
    return lambda study: study["detectors"][0].update(changed)


def squeezers(*filters):
    return lambda study: study["detectors"][1].update(filters=list(filters))


MODELS = "mlp, adv, distilled, distilled/temperature~1, distilled/temperature~20"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            trained(kind="trades"),
            "models[1] (adv).training.kind: there is no 'trades' here; allowed: standard, "
            "filtered, adversarial, distillation, or package.module:ENTRY of your own",
            id="no such training",
        ),
        pytest.param(
            trained(kind="filtered", filters=[{"kind": "blur"}]),
            "models[1] (adv).training.filters[0].kind: there is no 'blur' here; allowed: ",
            id="no such filter to train through",
        ),
        pytest.param(
            trained(kind="filtered", filters=[]),
            "models[1] (adv).training.filters: the list is empty; it takes at least 1",
            id="no filter to train through",
        ),
        pytest.param(
            trained(kind="filtered", filters=[{"kind": "gaussian", "sigma": [1, 2]}]),
            "models[1] (adv).training.filters[0].sigma: [1, 2] is ",
            id="a sweep within a training",
        ),
        pytest.param(
            trained(
                kind="filtered",
                filters=[{"kind": "reformer", "autoencoder": "oracle", "passes": 1}],
            ),
            "models[1] (adv).training.filters[0].autoencoder: there is no autoencoder 'oracle'",
            id="no such autoencoder to train through",
        ),
        pytest.param(
            trained(kind="no_such_module:ENTRY"),
            "models[1] (adv).training.kind: 'no_such_module:ENTRY' is no entry of a registry: No "
            "module named 'no_such_module'",
            id="no module of the user's own",
        ),
        pytest.param(
            trained(kind="epsigma.registry.filters:FILTERS"),
            r"is no entry of a registry: epsigma.registry.filters:FILTERS is .* no TrainingKind",
            id="an entry of another sort",
        ),
        pytest.param(
            trained(kind="standard", eps=0.1),
            r"models[1] (adv).training: unknown key eps; allowed: kind, epochs, batch_size, "
            "learning_rate, schedule, validation",
            id="unknown key",
        ),
        pytest.param(
            trained(kind="adversarial", method="fast", eps=0.1, temperature=[1]),
            "models[1] (adv).training: unknown key temperature; allowed: kind, epochs, "
            "batch_size, learning_rate, schedule, validation, method, eps, steps, step_size, "
            "clean_weight, warm_up",
            id="key of another training",
        ),
        pytest.param(
            trained(kind="adversarial", eps=0.1),
            "models[1] (adv).training: the key method is missing",
            id="missing",
        ),
        pytest.param(
            trained(kind="adversarial", method="trades", eps=0.1),
            "models[1] (adv).training.method: 'trades' is not allowed; allowed: fgsm, pgd, fast",
            id="method",
        ),
        pytest.param(
            trained(kind="adversarial", method="fast", eps=2),
            "models[1] (adv).training.eps: 2 is too large; it is at most 1",
            id="eps",
        ),
        pytest.param(
            trained(kind="adversarial", method="fast", eps=[0.1]),
            "models[1] (adv).training.eps: [0.1] is not of type number",
            id="eps is not swept",
        ),
        pytest.param(
            trained(schedule="cosine"),
            "models[1].training.schedule: 'cosine' is not allowed; allowed: constant, cycle",
            id="schedule",
        ),
        pytest.param(
            trained(kind="distillation", temperature=20),
            "models[1] (adv).training.temperature: 20 is not of type array; write a list: [20]",
            id="temperature is swept",
        ),
        pytest.param(
            trained(kind="distillation", temperature=[20, 0]),
            "models[1] (adv).training.temperature[1]: 0 is too small; it is greater than 0",
            id="temperature",
        ),
        pytest.param(
            trained(kind="distillation", temperature=[20, 20]),
            "models[1] (adv).training.temperature: [20, 20] holds a value twice; remove the "
            "duplicate",
            id="duplicate temperatures",
        ),
        pytest.param(
            lambda study: study["models"][1].update(defends="cnn"),
            "models[1] (adv).defends: there is no model 'cnn' beside it; allowed: ",
            id="defends",
        ),
        pytest.param(
            lambda study: study["models"][1].update(defends="adv"),
            "models[1] (adv).defends: there is no model 'adv' beside it; allowed: mlp, ",
            id="defends itself",
        ),
        pytest.param(
            lambda study: study["models"][1].update(defends="distilled"),
            "models[1] (adv).defends: there is no model 'distilled' beside it; allowed: mlp, "
            "distilled/temperature~1, distilled/temperature~20, or null",
            id="defends one of several",
        ),
        pytest.param(
            lambda study: study["attacks"][0].update(models=["cnn"]),
            f"attacks[0] (fgsm).models: there is no model 'cnn'; allowed: {MODELS}",
            id="attack's model",
        ),
        pytest.param(
            first_filter(models=["mlp", "distilled/temperature~2"]),
            "filters[0] (gaussian).models: there is no model 'distilled/temperature~2'; allowed: "
            f"{MODELS}",
            id="filter's model",
        ),
        pytest.param(
            first_filter(models=[]),
            "filters[0].models: the list is empty; it takes at least 1",
            id="no model",
        ),
        pytest.param(
            first_filter(detectors=["rec", "nobody"]),
            "filters[0] (gaussian).detectors: there is no detector 'nobody'; allowed: rec, "
            "squeezing",
            id="detector",
        ),
        pytest.param(
            lambda study: study.update(detectors=[]),
            "filters[1] (magnet).detectors: there is no detector 'rec'; allowed: none, for the "
            "study has no `detectors`",
            id="no detectors at all",
        ),
        pytest.param(
            lambda study: study["filters"].append({"kind": "identity"}),
            "filters[3] (identity): it changes nothing, and nothing looks at what it is given; "
            "give it `detectors`, or leave it out: no filter is always included",
            id="identity alone",
        ),
        pytest.param(
            first_filter(then=[{"kind": "blur"}]),
            "filters[0] (gaussian).then[0].kind: there is no 'blur' here; allowed: identity, "
            "gaussian, ",
            id="then of no kind",
        ),
        pytest.param(
            first_filter(then=[{"kind": "median", "size": 3}, {"kind": "none"}]),
            "filters[0] (gaussian).then[1].kind: there is no 'none' here; allowed: ",
            id="then nothing",
        ),
        pytest.param(
            first_filter(then=[{"kind": "nowhere:ENTRY"}]),
            "filters[0] (gaussian).then[0].kind: 'nowhere:ENTRY' is no entry of a registry: No "
            "module named 'nowhere'",
            id="then of a module that is not there",
        ),
        pytest.param(
            first_filter(then=[{"kind": "median", "size": [3]}]),
            "filters[0] (gaussian).then[0].size: [3] is not of type integer; it is one value here, "
            "not a list",
            id="then of a list",
        ),
        pytest.param(
            first_filter(then="median"),
            "filters[0].then: 'median' is not of type array; write a list of blocks: "
            "[{kind: median, …}]",
            id="then of a word",
        ),
        pytest.param(
            first_filter(then=[{"kind": "median"}]),
            "filters[0] (gaussian).then[0]: the key size is missing",
            id="then without its strength",
        ),
        pytest.param(
            first_filter(then=[{"kind": "median", "size": 3, "threats": ["blind"]}]),
            "filters[0] (gaussian).then[0]: unknown key threats; allowed: kind, size, border",
            id="then with a key of filters",
        ),
        pytest.param(
            first_filter(then=[{"size": 3}]),
            "filters[0].then[0]: the key kind is missing",
            id="then without a kind",
        ),
        pytest.param(
            first_filter(then=[{"kind": "reformer", "autoencoder": "vae", "passes": 1}]),
            "filters[0] (gaussian).then[0].autoencoder: there is no autoencoder 'vae'; allowed: ae",
            id="autoencoder of then",
        ),
        pytest.param(
            lambda study: study["filters"][1].update(autoencoder="vae"),
            "filters[1] (magnet).autoencoder: there is no autoencoder 'vae'; allowed: ae",
            id="autoencoder of a filter",
        ),
        pytest.param(
            first_detector(autoencoder="vae"),
            "detectors[0] (rec).autoencoder: there is no autoencoder 'vae'; allowed: ae",
            id="autoencoder of a detector",
        ),
        pytest.param(
            lambda study: study.update(autoencoders=[]),
            "detectors[0] (rec).autoencoder: there is no autoencoder 'ae'; allowed: none, for the "
            "study has no `autoencoders`",
            id="no autoencoders at all",
        ),
        pytest.param(
            squeezers({"kind": "reformer", "autoencoder": "vae", "passes": 1}),
            "detectors[1] (squeezing).filters[0].autoencoder: there is no autoencoder 'vae'; "
            "allowed: ae",
            id="autoencoder of a squeezer",
        ),
        pytest.param(
            squeezers({"kind": "blur"}),
            "detectors[1] (squeezing).filters[0].kind: there is no 'blur' here; allowed: ",
            id="squeezer",
        ),
        pytest.param(
            squeezers({"kind": "bitdepth", "bits": 99}),
            "detectors[1] (squeezing).filters[0].bits: 99 is too large; it is at most 12",
            id="squeezer's strength",
        ),
        pytest.param(
            squeezers(),
            "detectors[1] (squeezing).filters: the list is empty; it takes at least 1",
            id="no squeezer",
        ),
        pytest.param(
            first_detector(kind="oracle"),
            "detectors[0] (rec).kind: there is no 'oracle' here; allowed: reconstruction, "
            "divergence, squeezing, or package.module:ENTRY of your own",
            id="detector of no kind",
        ),
        pytest.param(
            first_detector(p=3),
            "detectors[0] (rec).p: 3 is not allowed; allowed: 1, 2",
            id="power",
        ),
        pytest.param(
            first_detector(false_positive_rate=1),
            "detectors[0].false_positive_rate: 1 is too large; it is less than 1",
            id="rate",
        ),
        pytest.param(
            first_detector(name="squeezing"),
            "detectors[1] (squeezing).name: detectors[0] has this name already; give one of them "
            "another `name`",
            id="detectors of one name",
        ),
        pytest.param(
            lambda study: study["autoencoders"][0].update(pool="median"),
            "autoencoders[0] (ae).pool: 'median' is not allowed; allowed: average, max, null",
            id="pool",
        ),
        pytest.param(
            lambda study: study["autoencoders"][0].update(training={"kind": "standard"}),
            "autoencoders[0].training: unknown key kind; allowed: epochs, batch_size, "
            "learning_rate, noise, validation",
            id="autoencoders are trained in one way",
        ),
    ],
)
def test_a_fault_names_its_key_and_says_what_is_allowed(change, said):
    found = faults(change)
    begins = re.compile(said if ".*" in said else re.escape(said))
    assert any(begins.search(line) for line in found), found


def test_one_fault_is_told_of_once():
    assert len(faults(trained(kind="trades"))) == 1
    assert len(faults(first_filter(then=[{"kind": "blur"}, {"kind": "blur"}]))) == 2


def test_an_aware_attacker_of_a_part_that_nobody_has_said_how_to_attack_is_refused(monkeypatch):
    monkeypatch.setitem(FILTERS, "silent", FilterKind("nowhere:Silent"))
    change = first_filter(then=[{"kind": "silent"}])
    (said,) = faults(change)
    assert said.startswith(
        "filters[0] (gaussian).threats: the kind 'silent' is declared neither differentiable nor"
    )

    def blind(study):
        change(study)
        study["filters"][0]["threats"] = ["blind"]

    assert validate(configured(blind))


def test_a_training_of_the_user_s_own_is_found_and_its_sweep_expands(monkeypatch, tmp_path):
    (tmp_path / "own_training.py").write_text(
        "from epsigma.kinds import FilterKind, TrainingKind\n"
        "from epsigma.kinds import Hyperparameters\n"
        "class Mixed(Hyperparameters):\n"
        "    alpha: float\n"
        "MIXED = TrainingKind('own_code:Mixed', Mixed, swept='alpha')\n"
    )
    (tmp_path / "own_code.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    kind = "own_training:MIXED"
    found = expand(validate(configured(trained(kind=kind, alpha=[0.2, 0.4]))))
    names = [model["name"] for model in found["models"]]
    assert names[1:3] == ["adv/alpha~0.2", "adv/alpha~0.4"]
    assert training_settings(found, "adv/alpha~0.4")["objective"] == {
        "implementation": "own_code:Mixed",
        "parameters": {"alpha": 0.4},
    }


def test_a_training_says_how_to_make_the_filters_that_images_pass():
    parts = [{"kind": "reformer", "autoencoder": "ae", "passes": 1}, {"kind": "median", "size": 3}]
    found = expand(validate(configured(trained(kind="filtered", filters=parts))))
    made = training_settings(found, "adv")["objective"]
    assert made["implementation"] == "epsigma.training.filtered:Filtered"
    first, second = made["parameters"]["filters"]
    assert first["parameters"]["autoencoder"]["autoencoder"] == "ae"
    assert second["parameters"] == {"size": 3, "border": "reflect"}
    assert found.find("models", "adv").label == "mlp filtered reformer median"
    modules = training_modules(found, "adv")
    assert {module.rpartition(".")[2] for module in modules} >= {"filtered", "reformer", "median"}
    assert "epsigma.filters.build" in modules
    assert training_modules(found, "mlp") == ["epsigma.training.standard"]
    written = validate(configured(trained(kind="filtered", filters=parts))).dump()
    assert validate(written).dump() == written


@pytest.mark.parametrize("name", TRAININGS)
def test_every_kind_of_training_is_described_and_its_implementation_takes_its_parameters(name):
    import inspect

    from epsigma.loading import load

    kind = TRAININGS[name]
    assert isinstance(kind, TrainingKind)
    taken = inspect.signature(load(kind.implementation)).parameters
    assert set(taken) == {*kind.schemas, *(["teacher"] if kind.teacher else [])}
    for about in kind.schemas.values():
        assert about["description"]
    for parameter, about in kind.schemas.items():
        if "default" in about:
            assert taken[parameter].default == about["default"]
