import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from epsigma import plan as grid
from epsigma.cell import FIXED_LEVEL, Cell, Level, cell_seed, spell
from epsigma.plan.grid import cells
from epsigma.study import expand, validate
from epsigma.study.references import source_of
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]

STUDY = {
    "datasets": [{"kind": "mnist5k"}, {"kind": "digits"}],
    "models": [{"kind": "mlp"}, {"kind": "mlp", "name": "wide", "hidden": 256}],
    "seeds": [3, 1],
    "attacks": [
        {"kind": "fgsm", "eps": [0.2, 0, 0.1]},
        {"kind": "fgsm", "name": "by_margin", "loss": "margin", "eps": [0.05]},
    ],
    "filters": [{"kind": "gaussian", "sigma": [2, 1.5]}, {"kind": "highpass", "cutoff": [0.1]}],
}

values = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("value", "spelling"),
    [
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (1, "1"),
        (1.0, "1"),
        (100, "100"),
        (100.0, "100"),
        (0.1, "0.1"),
        (float("0.10"), "0.1"),
        (10.5, "10.5"),
        (1e-3, "0.001"),
        (1e-5, "0.00001"),
        (1e-20, "0.00000000000000000001"),
        (1e22, "10000000000000000000000"),
        (0.1 + 0.2, "0.30000000000000004"),
        (np.float64(0.1), "0.1"),
        (np.float32(0.5), "0.5"),
        (np.int64(2), "2"),
    ],
)
def test_a_value_has_one_spelling_without_exponent_and_trailing_zeros(value, spelling):
    assert spell(value) == spelling


@given(values)
def test_a_spelling_is_read_as_the_value_and_is_a_number_of_the_wildcards(value):
    assert float(spell(value)) == value
    assert re.fullmatch(grid.NUMBER, spell(value))


@given(st.sampled_from(["eps", "sigma", "step_size"]), values)
def test_a_level_is_read_back_from_what_paths_spell(name, value):
    level = Level(name, value)
    assert Level.parse(str(level)) == level
    assert re.fullmatch(grid.LEVEL, str(level))


def test_a_level_without_anything_to_sweep_is_fixed():
    assert str(FIXED_LEVEL) == "fixed"
    assert Level.parse("fixed") == FIXED_LEVEL
    assert FIXED_LEVEL.parameters == {}


def test_a_level_is_the_hyper_parameter_it_names():
    assert Level.parse("sigma~1.5").parameters == {"sigma": 1.5}


OTHER_SPELLINGS = [
    "eps~0.10",
    "eps~.1",
    "eps~1.",
    "eps~1.0",
    "eps~01",
    "eps~00",
    "eps~1e-3",
    "eps~1E3",
    "eps~-1",
    "eps~-0",
    "eps~+1",
    "eps~0,1",
    "eps~",
    "eps",
    "eps~nan",
    "eps~inf",
    "eps~ 1",
    "eps~1 ",
    "eps~1\n",
    "eps~~1",
    "~1",
    "Eps~1",
    "fixed~0.10",
    "Fixed",
    "",
]


@pytest.mark.parametrize("text", OTHER_SPELLINGS)
def test_another_spelling_of_a_level_is_refused_by_the_parser_and_by_the_wildcards(text):
    assert not re.fullmatch(grid.LEVEL, text)
    with pytest.raises(ValueError, match="shortest spelling"):
        Level.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("eps~0.1000000000000000055", id="more digits than the number has"),
        pytest.param("eps~9007199254740993", id="an integer that no float holds"),
        pytest.param("eps~1" + "0" * 400, id="beyond the largest float"),
        pytest.param("eps~1\u0663", id="a digit that is not ASCII"),
    ],
)
def test_a_level_that_str_would_write_otherwise_is_refused(text):
    with pytest.raises(ValueError, match="shortest spelling"):
        Level.parse(text)


@pytest.mark.parametrize("name", ["mnist5k", "a", "a_b", "fgsm2", "none"])
def test_names_are_wildcards(name):
    assert re.fullmatch(grid.NAME, name)


@pytest.mark.parametrize("name", ["", "A", "1a", "_a", "a-b", "a/b", "a~b", "a.b", "a\n", "ä"])
def test_what_is_no_name_is_no_wildcard(name):
    assert not re.fullmatch(grid.NAME, name)


@pytest.mark.parametrize("name", ["mlp", "a_b", "mlp/temperature~20", "a/t~0.5"])
def test_a_model_is_a_name_and_perhaps_a_level_of_its_training(name):
    assert re.fullmatch(grid.MODEL, name)


@pytest.mark.parametrize(
    "name",
    ["", "A", "a/", "/t~1", "a/b", "a/b/c", "a/fixed", "a/t~1.0", "a/t~01", "a/t~1/u~2", "a~1"],
)
def test_what_is_no_name_with_a_level_is_no_model(name):
    assert not re.fullmatch(grid.MODEL, name)


def listed(study):
    """The cells of a study as tuples of wildcards."""
    return [tuple(cell.wildcards.values()) for cell in cells(validate(study))]


def test_cells_come_in_the_order_of_the_configuration_each_set_first_without_a_filter():
    none, blurs, highpass = (
        [("none", "fixed")],
        [("gaussian", "sigma~2"), ("gaussian", "sigma~1.5")],
        [("highpass", "cutoff~0.1")],
    )
    attacks = [("fgsm", ["eps~0.2", "eps~0", "eps~0.1"]), ("by_margin", ["eps~0.05"])]
    filters = [("blind", [none, blurs, highpass]), ("aware", [blurs, highpass])]
    expected = [
        (dataset, model, seed, threat, attack, budget, *filter_)
        for dataset, model, seed in itertools.product(
            ["mnist5k", "digits"], ["mlp", "wide"], ["3", "1"]
        )
        for threat, blocks in filters
        for attack, budgets in attacks
        for strengths in blocks
        for budget, filter_ in itertools.product(budgets, strengths)
    ]
    found = listed(STUDY)
    assert found == expected
    assert len(found) == 2 * 2 * 2 * 4 * (4 + 3)


BLIND, AWARE = {"threats": ["blind"]}, {"threats": ["aware"]}


@pytest.mark.parametrize(
    ("attack", "filters", "expected"),
    [
        ({}, [{}, {}], ["blind none", "blind a", "blind b", "aware a", "aware b"]),
        # Every set is scored without a filter, whatever it was made for.
        (AWARE, [{}, {}], ["blind none", "aware a", "aware b"]),
        (BLIND, [{}, {}], ["blind none", "blind a", "blind b"]),
        ({}, [BLIND, AWARE], ["blind none", "blind a", "aware b"]),
        (BLIND, [BLIND, AWARE], ["blind none", "blind a"]),
        (BLIND, [AWARE, AWARE], ["blind none"]),
    ],
)
def test_a_cell_is_made_if_its_attack_and_its_filter_both_list_the_threat(
    attack, filters, expected
):
    study = {
        "datasets": [{"kind": "digits"}],
        "models": [{"kind": "mlp"}],
        "attacks": [{"kind": "fgsm", "eps": [0.1], **attack}],
        "filters": [
            {"kind": "gaussian", "name": name, "sigma": [1], **threats}
            for name, threats in zip("ab", filters, strict=True)
        ],
    }
    assert [f"{threat} {name}" for _, _, _, threat, _, _, name, _ in listed(study)] == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["gaussian/sigma~1.5"], ["gaussian/sigma~1.5"]),
        (["gaussian"], ["gaussian/sigma~2", "gaussian/sigma~1.5"]),
        (["gaussian/sigma~2", "gaussian"], ["gaussian/sigma~2", "gaussian/sigma~1.5"]),
        (["gaussian/sigma~2", "equalize/fixed"], ["gaussian/sigma~2", "equalize/fixed"]),
    ],
)
def test_an_attack_meets_a_filter_at_the_strengths_that_it_names(filters, expected):
    study = {
        **STUDY,
        "datasets": [{"kind": "digits"}],
        "attacks": [{"kind": "fgsm", "eps": [0.1], "filters": filters}],
        "filters": [*STUDY["filters"], {"kind": "equalize"}],
    }
    found = [
        (model, threat, f"{name}/{level}")
        for _, model, _, threat, _, _, name, level in (listed({**study, "seeds": [0]}))
    ]
    cells = [("blind", "none/fixed"), *itertools.product(["blind"], expected)]
    cells += itertools.product(["aware"], expected)
    assert found == [(model, *cell) for model in ("mlp", "wide") for cell in cells]


def test_an_attack_is_for_the_data_sets_that_it_names():
    first, second = STUDY["attacks"]
    attacks = [{**first, "datasets": ["digits"]}, {**second, "datasets": ["mnist5k", "digits"]}]
    met = {(cell[0], cell[4]) for cell in listed({**STUDY, "attacks": attacks})}
    assert met == {("digits", "fgsm"), ("digits", "by_margin"), ("mnist5k", "by_margin")}


WIDE, FIRST = {"models": ["wide"]}, {"filters": ["a"]}
BOTH = {"models": ["wide", "mlp"]}


@pytest.mark.parametrize(
    ("attack", "filters", "expected"),
    [
        ({}, [{}, {}], ["mlp none", "mlp a", "mlp b", "wide none", "wide a", "wide b"]),
        (WIDE, [{}, {}], ["wide none", "wide a", "wide b"]),
        ({}, [WIDE, {}], ["mlp none", "mlp b", "wide none", "wide a", "wide b"]),
        (BOTH, [WIDE, WIDE], ["mlp none", "wide none", "wide a", "wide b"]),
        # Every set is scored without a filter, also if it meets none.
        (FIRST, [{}, {}], ["mlp none", "mlp a", "wide none", "wide a"]),
        ({"filters": []}, [{}, {}], ["mlp none", "wide none"]),
        ({**WIDE, **FIRST}, [{"models": ["mlp"]}, {}], ["wide none"]),
    ],
)
def test_a_cell_is_made_of_an_attack_and_a_filter_that_are_for_its_model_and_meet(
    attack, filters, expected
):
    study = {
        "datasets": [{"kind": "digits"}],
        "models": [{"kind": "mlp"}, {"kind": "mlp", "name": "wide"}],
        "attacks": [{"kind": "fgsm", "eps": [0.1], **BLIND, **attack}],
        "filters": [
            {"kind": "gaussian", "name": name, "sigma": [1], **about}
            for name, about in zip("ab", filters, strict=True)
        ],
    }
    assert [f"{model} {name}" for _, model, _, _, _, _, name, _ in listed(study)] == expected


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (None, ["mlp", "taught/temperature~20", "taught/temperature~0.5"]),
        (["taught"], ["taught/temperature~20", "taught/temperature~0.5"]),
        (["mlp", "taught/temperature~0.5"], ["mlp", "taught/temperature~0.5"]),
    ],
)
def test_a_model_whose_training_is_swept_is_one_for_each_value(models, expected):
    training = {"kind": "distillation", "temperature": [20, 0.5], "epochs": 2}
    study = {
        **STUDY,
        "datasets": [{"kind": "digits"}],
        "models": [{"kind": "mlp"}, {"kind": "mlp", "name": "taught", "training": training}],
        "attacks": [{"kind": "fgsm", "eps": [0.1], "models": models}],
    }
    checked = validate(study)
    made = expand(checked)
    assert list(dict.fromkeys(cell.model for cell in cells(made))) == expected
    assert all(re.fullmatch(grid.MODEL, model) for model in expected)
    # Each as if it had been written out.
    assert [model["training"].get("temperature") for model in made["models"]] == [None, 20, 0.5]
    before = checked.dump()["models"][1]
    assert made.dump()["models"][2] == {
        **before,
        "name": "taught/temperature~0.5",
        "training": {**before["training"], "temperature": 0.5},
    }
    assert checked["models"][1]["training"]["temperature"] == [20, 0.5]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"source_model": "wide"}, [("mlp", "3"), ("mlp", "1")]),
        ({"source_seed": 1}, [("mlp", "3"), ("wide", "3")]),
        ({"source_model": "wide", "source_seed": 1}, [("mlp", "3"), ("mlp", "1"), ("wide", "3")]),
        (
            {"source_model": "wide", "source_seed": 9},
            [("mlp", "3"), ("mlp", "1"), ("wide", "3"), ("wide", "1")],
        ),
    ],
    ids=str,
)
def test_a_transfer_onto_its_own_source_is_left_out(source, expected):
    transfer = {"kind": "transfer", "attack": "fgsm", "eps": [0.1], **source}
    study = {**STUDY, "datasets": [{"kind": "digits"}], "attacks": [*STUDY["attacks"], transfer]}
    moved = [
        (model, seed, threat, name)
        for _, model, seed, threat, attack, _, name, _ in listed(study)
        if attack == "transfer"
    ]
    # Blind, without a filter and through each.
    assert moved == [
        (*target, "blind", name)
        for target in expected
        for name in ("none", "gaussian", "gaussian", "highpass")
    ]


@pytest.mark.parametrize(
    ("given", "source"),
    [
        (None, ("mlp", 3)),
        ({"source_model": "wide", "source_seed": None}, ("wide", 3)),
        ({"source_model": None, "source_seed": 1}, ("mlp", 1)),
        # No value is none, 0 is one.
        ({"source_model": None, "source_seed": 0}, ("mlp", 0)),
        ({"source_model": "wide", "source_seed": 1}, ("wide", 1)),
    ],
    ids=str,
)
def test_a_set_is_made_on_the_model_that_is_attacked_unless_it_is_a_transfer(given, source):
    attacks = [{"kind": "fgsm", "eps": [0.1]}]
    if given is not None:
        attacks.append({"kind": "transfer", "attack": "fgsm", "eps": [0.1], **given})
    models = [{"kind": "mlp"}, {"kind": "mlp", "name": "wide"}]
    study = validate({**STUDY, "models": models, "seeds": [3], "attacks": attacks})
    assert source_of(study.attacks[-1], "mlp", 3) == source


def test_a_cell_names_the_wildcards_of_its_paths():
    cell = Cell("digits", "mlp", 7, "blind", "fgsm", Level("eps", 0.1), "none", FIXED_LEVEL)
    assert cell.wildcards == {
        "dataset": "digits",
        "model": "mlp",
        "seed": "7",
        "threat": "blind",
        "attack": "fgsm",
        "budget": "eps~0.1",
        "filter": "none",
        "strength": "fixed",
    }


def test_the_seed_of_a_cell_is_its_identity_s_on_every_machine_and_in_every_order():
    wildcards = {"dataset": "digits", "seed": "0", "budget": "eps~0.1"}
    # The first eight bytes of sha256(b"budget=eps~0.1/dataset=digits/seed=0"), halved.
    assert cell_seed(wildcards) == 8_169_064_148_047_555_913
    assert cell_seed(dict(reversed(wildcards.items()))) == 8_169_064_148_047_555_913


def test_no_two_cells_share_a_seed_and_torch_takes_each():
    study = validate(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()))
    seeds = [cell_seed(cell.wildcards) for cell in cells(study)]
    assert len(set(seeds)) == len(seeds) > 100
    assert all(0 <= seed < 2**63 for seed in seeds)


DAG_MODULES = [
    "epsigma.study",
    "epsigma.plan.plan",
    "epsigma.engine",
    "epsigma.cell",
    "epsigma.kinds",
    "epsigma.storage.digest",
    "epsigma.job",
    "epsigma.datasets",
    "epsigma.models",
    "epsigma.attacks",
    "epsigma.filters",
]
DAG = f"""
import yaml
from pathlib import Path
from epsigma import registry, study as configuration, plan as grid
from epsigma.plan.plan import Plan
from epsigma.storage import digest, provenance
config = Path({str(ROOT / "config" / "paper.yaml")!r})
study = configuration.validate(yaml.safe_load(config.read_text()))
assert list(grid.cells(study))
for section in registry.REGISTRIES:
    for block in study[section]:
        settings = grid.settings(study, section, block["name"])
        digest.code_digest(settings["implementation"].partition(":")[0])
digest.code_digest("epsigma.stages.train", "epsigma.stages.draw")
provenance.record({{}}, {{}}, "")
"""


@pytest.mark.parametrize("code", [*(f"import {name}" for name in DAG_MODULES), DAG])
def test_what_builds_the_dag_imports_neither_torch_nor_numpy(code):
    report = "import sys; print(*sorted({'torch', 'numpy'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == []
