"""A challenge of a finished study: what it holds, and how filters and sets are scored in it."""

import re
import shutil
import sys
from pathlib import Path

import epsigma
import numpy as np
import pytest
from epsigma.challenge import __main__ as command
from epsigma.challenge.cells import Scoring
from epsigma.challenge.making import make_challenge
from epsigma.challenge.rules import Rules, read_rules
from epsigma.challenge.tables import SCORES
from epsigma.challenge.trial import read_study
from epsigma.storage.files import read_json
from epsigma.tables.atlas import COLUMNS
from epsigma.tables.reading import read_table
from epsigma.tables.strengths import mark_validation
from running import Workdir
from safetensors.torch import save_file

# A bit a pixel, with a gradient that is declared exact, and is 0.
MASKED = """
from typing import Annotated

from epsigma.filters.filter import Filter
from epsigma.kinds import FilterKind, Hyperparameters
from pydantic import Field


class Parameters(Hyperparameters):
    threshold: Annotated[float, Field(ge=0, le=1)] = Field(description="of white")


class Masked(Filter):
    is_linear = False

    def __init__(self, *, threshold):
        super().__init__()
        self.threshold = threshold
        print("made")

    def forward(self, images):
        return (images > self.threshold).float() + 0 * images

    def formula(self, images):
        return (images > self.threshold).double()


FILTER = FilterKind(f"{__name__}:Masked", Parameters, swept="threshold", gradient="exact")
VALUES = {"threshold": [0.5]}
"""


@pytest.fixture(scope="module")
def folder(finished_once: Workdir, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("challenge") / "challenge"
    make_challenge(finished_once.directory / "results", made)
    return made


@pytest.fixture(scope="module")
def rules(folder: Path) -> Rules:
    return read_rules(folder)


def test_the_folder_has_what_an_outsider_needs(folder: Path, rules: Rules) -> None:
    (ball,) = rules.balls
    assert (ball.norm, ball.budget, ball.images) == ("linf", 0.1, {"digits": 360})
    added = rules.study["attacks"][-1]
    assert (added["name"], added["eps"], added["threats"]) == ("challenge_square", [0.1], ["aware"])
    study = epsigma.open_study(folder)
    assert len(study.clean().labels) == 360
    assert study.classifier()(study.clean().images[:2]).shape == (2, 10)
    atlas = read_table(str(folder / "tables" / "atlas.csv"))
    assert list(atlas) == COLUMNS
    assert sorted(atlas["filter"]) == ["gaussian", "highpass", "none"]
    assert (folder / "my_filter.py").is_file()
    assert "$" not in (folder / "README.md").read_text()


def test_nothing_is_left_of_a_folder_that_cannot_be_made(
    finished: Workdir, folder: Path, tmp_path: Path
) -> None:
    results = finished.directory / "results"
    with pytest.raises(FileExistsError, match="remove it, scores and all"):
        make_challenge(results, folder)
    (results / "digits" / "mlp" / "seed~0" / "checkpoint.ckpt").unlink()
    target = tmp_path / "made" / "challenge"
    with pytest.raises(FileNotFoundError, match="run the study to its end"):
        make_challenge(results, target)
    assert not list(target.parent.glob("*"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["challenge", *map(str, arguments)])
    command.main()


def test_a_gradient_that_is_masked_gains_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    submission = tmp_path / "masked.py"
    submission.write_text(MASKED)
    run(monkeypatch, "score", folder, submission)
    cells = read_table(str(folder / "cells" / "masked.csv"))
    left = cells[cells["threat"] == "aware"].set_index("attack")["accuracy"]
    assert left["fgsm"] > left["fgsm_identity"]
    assert {"challenge_square", "fgsm", "fgsm_identity"} == set(left.index)
    scores = read_table(str(folder / "scores.csv"))
    assert list(scores) == SCORES
    (row,) = scores[scores["submission"] == "masked"].to_dict("records")
    assert row["attacks"] == 4  # blind, too
    assert row["aware"] <= row["blind"]
    assert row["filter_microseconds"] > 0
    said = capsys.readouterr().out
    assert "masked threshold = 0.5, mlp on digits, ℓ∞, ε = 0.1: keeps" in said
    assert "place" in said
    assert "► masked" in (folder / "scores.html").read_text()


def test_a_filter_of_the_study_is_scored_as_the_study_scored_it(
    folder: Path, rules: Rules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = 'from epsigma.registry.filters import FILTERS\n\nFILTER = FILTERS["gaussian"]\n'
    (tmp_path / "submission.py").write_text(code + 'VALUES = {"sigma": [0.5, 1]}\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "submission", raising=False)
    scoring = Scoring(read_study(rules, "blur"), folder, tmp_path / "scored")
    monkeypatch.setattr(scoring, "_measure_cost", lambda *_: None)
    scoring.score_filter()
    study = epsigma.open_study(folder)
    compared = 0
    for row in study.cells[study.cells["filter"] == "gaussian"].to_dict("records"):
        if row["budget"]:
            where = f"{row['threat']}/fgsm/eps~0.1/blur/sigma~{row['strength']:g}.json"
            path = tmp_path / "scored" / "digits" / "mlp" / "seed~0" / "metrics" / where
            assert read_json(path)["accuracy"] == row["accuracy"]
            compared += 1
    assert compared == 4


def test_the_set_of_the_readme_is_scored_on_the_images_that_score(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    made: dict[str, object] = {}
    exec(lines, made)
    run(monkeypatch, "score", ".", "my_set.safetensors")
    scores = read_table("scores.csv")
    rows = scores[scores["submission"] == "my_set"].set_index("filter")
    assert set(rows.index) == {"none", "gaussian", "highpass"}
    study = epsigma.open_study(".")
    images, labels = read_set(Path("my_set.safetensors"))
    right = (study.classifier()(images).argmax(1) == labels).numpy()
    counted = right[~mark_validation(labels.numpy().astype(np.int16))]
    assert rows.loc["none", "n"] == len(counted)
    assert rows.loc["none", "blind"] == pytest.approx(counted.mean(), abs=1e-6)
    assert rows["aware"].isna().all()
    assert "left; by the study's attacks" in capsys.readouterr().out


def test_a_model_and_a_data_set_that_nothing_attacks_in_a_ball_are_left_out(
    folder: Path, rules: Rules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "challenge"
    shutil.copytree(folder, made)
    shutil.copytree(made / "data" / "digits", made / "data" / "others")
    study, of = rules.study, {"datasets": ["digits"], "models": ["mlp"]}
    attacks = [{**one, **of} for one in study["attacks"]]
    others = {name: [*study[name], {**study[name][0], "name": "others"}] for name in of}
    changed = rules.model_copy(update={"study": {**study, **others, "attacks": attacks}})
    (made / "rules.yaml").write_text(changed.model_dump_json())
    template = (made / "my_filter.py").read_text()
    (tmp_path / "mine.py").write_text(template.replace("[0.25, 0.5]", "[0.25]"))
    run(monkeypatch, "score", made, tmp_path / "mine.py")
    scores = read_table(str(made / "scores.csv"))
    (row,) = scores[scores["submission"] == "mine"].to_dict("records")
    assert (row["dataset"], row["model"]) == ("digits", "mlp")
    clean = epsigma.open_study(made).clean("digits")
    left = {"images": clean.images.clone(), "labels": clean.labels.clone()}
    save_file(left, tmp_path / "clean.safetensors")
    run(monkeypatch, "score", made, tmp_path / "clean.safetensors")
    assert {"mine", "clean"} <= set(read_table(str(made / "scores.csv"))["submission"])


def read_set(path: Path):
    from safetensors.torch import load_file

    tensors = load_file(path)
    return tensors["images"], tensors["labels"]


def test_what_is_refused_leaves_the_scores_as_they_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.rglob("*"))
    (tmp_path / "mine.safetensors").write_bytes(b"no tensors")
    with pytest.raises(SystemExit, match=r"mine.safetensors: it is no safetensors file"):
        run(monkeypatch, "score", folder, tmp_path / "mine.safetensors")
    assert sorted(folder.rglob("*")) == before
