"""What a process of a submission leaves is looked at before it is read; sets are of any ball."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from epsigma.challenge import __main__ as command
from epsigma.challenge import apart, landlock, scoring, sets
from epsigma.challenge.child import ANSWER, SCORED
from epsigma.challenge.left import read_left, take_left
from epsigma.challenge.rules import Ball, Limits, Rules, SubmissionError
from epsigma.challenge.sets import read_submission
from epsigma.storage.images import write_tensors
from epsigma.storage.stored import open_clean
from epsigma.study import validate
from running import SMALL
from safetensors.torch import save_file

STUDY = validate(SMALL).dump()


def balls(*of: tuple[float, dict[str, int]]) -> Rules:
    made = [Ball(norm="linf", name="eps", budget=one, images=images) for one, images in of]
    return Rules(balls=made, study=STUDY)


def test_a_file_is_read_as_far_as_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "left"
    path.write_bytes(b"0123456789")
    assert read_left(path, 4) == b"0123"
    assert read_left(path, 4, at_end=True) == b"6789"
    assert read_left(path, 40, at_end=True) == read_left(path, 40) == b"0123456789"


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe", "missing"):
        with pytest.raises(OSError, match=name):
            read_left(tmp_path / name, 10)


def test_a_folder_of_files_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "left" / "within").mkdir(parents=True)
    (tmp_path / "left" / "within" / "file").write_text("x")
    take_left(tmp_path / "left", tmp_path / "taken")
    assert (tmp_path / "taken" / "within" / "file").read_text() == "x"
    assert not (tmp_path / "left").exists()


def add_link(folder: Path) -> None:
    folder.mkdir()
    (folder / "within").mkdir()
    (folder / "within" / "odd").symlink_to(folder)


def add_pipe(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "odd")


@pytest.mark.parametrize("leave", [add_link, add_pipe])
def test_a_folder_with_anything_else_is_not_taken(tmp_path: Path, leave: Any) -> None:
    leave(tmp_path / "left")
    with pytest.raises(OSError, match="odd is no file or folder"):
        take_left(tmp_path / "left", tmp_path / "taken")


def test_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "left").symlink_to(tmp_path)
    with pytest.raises(OSError, match="taken is no file or folder"):
        take_left(tmp_path / "left", tmp_path / "taken")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.symlink('other.json', 'answer.json')", "without an answer"),
        ("import os; os.mkfifo('answer.json')", "without an answer"),
        ("open('answer.json', 'w').write('[]')", "without an answer"),
        ("import os; os.remove('stderr'); os.mkfifo('stderr')", "without an answer"),
        ("import sys; sys.exit(1000 * 'long ' + 'and the last')", "and the last"),
    ],
)
def test_an_answer_is_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setattr(apart, "_PROGRAM", program)
    here, submission = tmp_path / "here", tmp_path / "mine.py"
    here.mkdir()
    (here / "other.json").write_text("{}")
    submission.touch()
    with pytest.raises(SubmissionError, match=said):
        apart.run_apart(submission, "mine", tmp_path, here, Limits(seconds=20))


def test_what_a_process_is_told_is_where_modules_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "own")
    told = "import json; path = json.load(open('request.json'))['path']; "
    program = told + f"json.dump({{'confined': {str(tmp_path / 'own')!r} in path}}, "
    monkeypatch.setattr(apart, "_PROGRAM", program + f"open({ANSWER!r}, 'w'))")
    (tmp_path / "mine.py").touch()
    (tmp_path / "here").mkdir()
    assert apart.run_apart(tmp_path / "mine.py", "mine", tmp_path, tmp_path / "here", Limits())


@pytest.mark.parametrize("leave", [add_link, add_pipe, Path.mkdir, lambda folder: None])
def test_scores_that_are_none_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: Any
) -> None:
    def run(submission: Path, name: str, folder: Path, here: Path, limits: Limits) -> bool:
        leave(here / SCORED)
        return True

    monkeypatch.setattr(scoring, "run_apart", run)
    folder, submission = tmp_path / "challenge", tmp_path / "mine.py"
    folder.mkdir()
    submission.touch()
    rules = balls((0.1, {"digits": 6}))
    (folder / "rules.yaml").write_text(rules.model_dump_json())
    with pytest.raises(SubmissionError, match=r"no scores .*submit a filter that writes no files"):
        scoring.score(submission, folder)
    assert not (folder / "scores.csv").exists()


class Old:
    """The system calls of a Linux whose Landlock is of some version, which do nothing."""

    def __init__(self, version: int) -> None:
        self.version = version

    def syscall(self, number: int, first: Any, *_: Any) -> int:
        if number != landlock.CREATE:
            return 0
        return self.version if first is None else os.open(os.devnull, os.O_RDONLY)

    def prctl(self, *_: Any) -> int:
        return 0


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
@pytest.mark.parametrize(("version", "is_kept"), [(-1, False), (1, False), (2, False), (3, True)])
def test_a_process_counts_as_confined_if_it_can_empty_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, is_kept: bool
) -> None:
    monkeypatch.setattr(landlock.ctypes, "CDLL", lambda *_, **__: Old(version))
    assert landlock.confine(tmp_path) is is_kept


CLEAN = {"digits": (torch.arange(10), 8), "mnist5k": (torch.arange(10).flip(0), 28)}
APART = balls((0.1, {"digits": 6}), (0.05, {"mnist5k": 4}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images of a challenge of two data sets."""
    for name, (labels, size) in CLEAN.items():
        path = tmp_path / "challenge" / "data" / name / "test.safetensors"
        tensors = {"images": torch.full((10, 1, size, size), 0.5), "labels": labels}
        write_tensors(path, tensors, {"classes": "10"})
    return tmp_path / "challenge"


def write_set(folder: Path, name: str, count: int, change: float) -> Path:
    labels, size = CLEAN[name]
    images = torch.full((count, 1, size, size), 0.5 + change)
    save_file({"images": images, "labels": labels[:count].clone()}, folder / "mine.safetensors")
    return folder / "mine.safetensors"


@pytest.mark.parametrize(
    ("name", "count", "change", "at"), [("digits", 6, 0.1, 0), ("mnist5k", 4, 0.05, 1)]
)
def test_a_set_is_of_whichever_data_set_some_ball_has(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    count: int,
    change: float,
    at: int,
) -> None:
    opened = []
    monkeypatch.setattr(sets, "open_clean", lambda *of: opened.append(of) or open_clean(*of))
    path = write_set(folder, name, count, change)
    assert read_submission(path, APART, folder)[:2] == (name, APART.balls[at])
    assert len(opened) == len(CLEAN)


def test_a_set_that_is_refused_is_told_of_all_data_sets(folder: Path) -> None:
    path = write_set(folder, "mnist5k", 3, 0)
    with pytest.raises(SubmissionError, match=r"first 6 of data/digits.* first 4 of data/mnist5k"):
        read_submission(path, APART, folder)


def test_a_set_of_no_images_is_none(folder: Path) -> None:
    with pytest.raises(SubmissionError, match=r"\(0, 1, 8, 8\): make them"):
        read_submission(write_set(folder, "digits", 0, 0), APART, folder)


def test_a_ball_that_the_study_does_not_have_is_said(folder: Path) -> None:
    (folder / "rules.yaml").write_text(balls((0.3, {"digits": 6})).model_dump_json())
    (folder / "tables").mkdir()
    (folder / "tables" / "atlas.csv").write_text("dataset,norm,budget_name,budget\n")
    path = write_set(folder, "digits", 6, 0.3)
    with pytest.raises(ValueError, match=r"has nothing in linf eps = 0.3, a ball of rules.yaml"):
        scoring.score(path, folder)


@pytest.mark.parametrize(
    ("kind", "said"), [("factory", "challenge: .*no source of nowhere"), ("mlp", "mine.txt: ")]
)
def test_what_is_wrong_with_the_folder_is_not_the_submission_s_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    models = [{**STUDY["models"][0], "kind": kind}]
    if kind == "factory":
        models = [{"kind": "factory", "name": "own", "factory": "nowhere:make"}]
    rules = Rules(balls=APART.balls, study={**STUDY, "models": models})
    (folder / "rules.yaml").write_text(rules.model_dump_json())
    name = "mine.py" if kind == "factory" else "mine.txt"
    (folder.parent / name).touch()
    given = ["challenge", "score", str(folder), str(folder.parent / name)]
    monkeypatch.setattr(sys, "argv", given)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit, match=f"(?s)^[^ ]*{said}"):
        command.main()
