"""A part of a study: the key `only`."""

import copy

import pytest
from epsigma.plan.grid import cells
from epsigma.study import validate
from epsigma.study.faults import ConfigurationError

STUDY = {
    "datasets": [{"kind": "digits"}, {"kind": "mnist5k"}],
    "models": [{"kind": "mlp"}, {"kind": "mlp", "name": "wide", "hidden": 99}],
    "attacks": [
        {"kind": "pgd", "eps": [0.1, 0.2], "filters": ["gaussian/sigma~1", "median"]},
        {"kind": "fgsm", "eps": [0.1], "datasets": ["mnist5k"]},
        {"kind": "sign_noise", "eps": [0.1], "models": ["wide"]},
    ],
    "filters": [
        {"kind": "gaussian", "sigma": [1, 2]},
        {"kind": "median", "size": [2]},
        {"kind": "box", "radius": [1], "models": ["wide"]},
    ],
}


def part(**only):
    return validate({**copy.deepcopy(STUDY), "only": only})


@pytest.mark.parametrize(
    ("only", "is_left"),
    [
        ({}, lambda cell: True),
        ({"models": ["mlp"]}, lambda cell: cell.model == "mlp"),
        ({"datasets": ["digits"]}, lambda cell: cell.dataset == "digits"),
        ({"attacks": ["pgd", "fgsm"]}, lambda cell: cell.attack != "sign_noise"),
        ({"filters": ["gaussian"]}, lambda cell: cell.filter in ("none", "gaussian")),
        ({"filters": []}, lambda cell: cell.filter == "none"),
        (
            {"datasets": ["digits"], "models": ["mlp"], "filters": ["median", "box"]},
            lambda cell: (
                (cell.dataset, cell.model, cell.filter)
                in {("digits", "mlp", name) for name in ("none", "median")}
            ),
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_part_has_the_cells_that_it_has_in_the_whole(only, is_left):
    assert list(cells(part(**only))) == [one for one in cells(validate(STUDY)) if is_left(one)]


def test_blocks_that_were_for_others_only_go_with_them():
    left = part(models=["mlp"], datasets=["digits"])
    assert left.names("attacks") == ["pgd"]
    assert left.names("filters") == ["gaussian", "median"]
    assert part(filters=["gaussian"]).attacks[0].filters == ["gaussian/sigma~1"]


def test_a_part_is_written_down_as_a_study_that_is_the_part():
    left = part(models=["wide"])
    written = left.dump()
    assert [block["name"] for block in written["models"]] == ["wide"]
    assert list(written["models"][0])[-1] == "hidden"
    assert list(cells(validate(written))) == list(cells(left))


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ({"models": ["cnn"]}, "only.models: there is no 'cnn'; allowed: mlp, wide"),
        ({"filters": ["gaussian/sigma~1"]}, "only.filters: there is no 'gaussian/sigma~1'"),
        (
            {"datasets": ["digits"], "attacks": ["fgsm"]},
            "only: nothing is left of the attacks; name more",
        ),
        ({"seeds": [0]}, "only: unknown key seeds"),
    ],
)
def test_names_that_there_are_not_and_nothing_left_are_refused(only, said):
    with pytest.raises(ConfigurationError, match=said):
        part(**only)


def test_what_refers_to_a_block_that_is_gone_is_refused():
    study = copy.deepcopy(STUDY)
    study["models"][1]["defends"] = "mlp"
    with pytest.raises(ConfigurationError, match="there is no model 'mlp' beside it"):
        validate({**study, "only": {"models": ["wide"]}})
