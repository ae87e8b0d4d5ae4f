"""Submissions to a challenge: what is refused, and in which words; what a process may not do."""

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from epsigma.challenge import apart
from epsigma.challenge.cells import IMPLEMENTATION
from epsigma.challenge.landlock import confine
from epsigma.challenge.my_filter import MyFilter
from epsigma.challenge.rules import Ball, Limits, Rules, SubmissionError
from epsigma.challenge.scoring import score
from epsigma.challenge.sets import read_submission
from epsigma.challenge.trial import read_study, try_filter
from epsigma.filters.build import build_filter
from epsigma.filters.surrogate import attackable
from epsigma.plan.settings import settings
from epsigma.storage.images import write_tensors
from epsigma.study import validate
from running import SMALL
from safetensors.torch import save_file

PACKAGE = Path(__file__).parents[2] / "workflow"
TEMPLATE = (PACKAGE / "epsigma" / "challenge" / "my_filter.py").read_text(encoding="utf-8")
FORWARD = "return images * (images >= self.threshold)"
VALUES = 'VALUES = {"threshold": [0.25, 0.5]}'
BALLS = [
    Ball(norm=norm, name="eps", budget=budget, images={"digits": 6})
    for norm, budget in (("linf", 0.1), ("linf", 0.2), ("l2", 0.8))
]
# An attack that is for some filters of the study meets those that are submitted, too.
ATTACKS = [{"kind": "fgsm", "eps": [0.1, 0.2], "filters": ["gaussian"]}]
RULES = Rules(balls=BALLS, study=validate({**SMALL, "attacks": ATTACKS}).dump())


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Try the template, with a part of it in the place of another."""

    def try_changed(part: str, other: str) -> None:
        assert part in TEMPLATE
        (tmp_path / "submission.py").write_text(TEMPLATE.replace(part, other), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "submission", raising=False)
        importlib.invalidate_caches()
        study = read_study(RULES, "mine")
        (block,) = study.filters
        made = settings(study, "filters", "mine", str(block.levels[0]))
        images = torch.rand((3, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        try_filter(made, str(block.entry.gradient), images)

    return try_changed


@pytest.mark.parametrize(
    ("part", "other", "said"),
    [
        (FORWARD, "return images / self.nothing", r"AttributeError: .*'nothing' \(line \d+\)"),
        (VALUES, "raise SystemExit(3)", r"importing it raised SystemExit: 3 \(line \d+\)"),
        (VALUES, "VALUES = = 1", r"SyntaxError: invalid syntax .* \(line \d+\)"),
        ("FILTER = ", "OTHER = ", "it has no FILTER"),
        (VALUES, 'VALUES = {"threshold": [0.5], "threats": ["blind"]}', "the key threats; allowed"),
        (VALUES, 'VALUES = {"threshold": [2]}', "2 is too large; it is at most 1"),
        ('"bpda"', "None", "its gradient is None"),
        (FORWARD, "return images[:, :, 1:]", "it has to keep the shape"),
        (FORWARD, "return images, 1", "makes tuple"),
        (FORWARD, "return images.double()", "makes torch.float64"),
        (FORWARD, "return images / images.amax((1, 2, 3), keepdim=True)", "not finite"),
        (FORWARD, "return 2 * images", r"from 0 to 2: keep them in \[0, 1\]"),
        (FORWARD, "return images.mul_(0.5)", "changes the images that it is given"),
        (FORWARD, "return (images - images.mean() + 0.5).clamp(0, 1)", "others of the batch"),
        (FORWARD, "return images * __import__('torch').rand(1)", "say random=True"),
        (FORWARD, "return images if images.requires_grad else images * 0.9", "want a gradient"),
        (FORWARD, "return images * (images > 0.9)", "from its formula, more than 1e-05"),
    ],
)
def test_a_filter_that_cannot_be_scored_is_refused_at_once(
    attempt: Callable[[str, str], None], part: str, other: str, said: str
) -> None:
    with pytest.raises(SubmissionError, match=said):
        attempt(part, other)


def test_a_filter_without_the_gradient_that_it_declares_is_refused(
    attempt: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = TEMPLATE.replace(FORWARD, "return (images >= self.threshold).float()")
    monkeypatch.setattr(sys.modules[__name__], "TEMPLATE", changed)
    with pytest.raises(SubmissionError, match=r"say gradient=.bpda."):
        attempt('gradient="bpda"', 'gradient="exact"')


def test_the_template_is_a_filter() -> None:
    images = torch.tensor([0.0, 0.2, 0.3, 1.0]).view(1, 1, 2, 2)
    assert MyFilter(threshold=0.25)(images).flatten().tolist() == pytest.approx([0, 0, 0.3, 1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images of a challenge: ten, of which six are attacked."""
    images = torch.full((10, 1, 8, 8), 0.5)
    labels = torch.arange(10)
    path = tmp_path / "challenge" / "data" / "digits" / "test.safetensors"
    write_tensors(path, {"images": images, "labels": labels}, {"classes": "10"})
    return tmp_path / "challenge"


MADE = {"images": torch.full((6, 1, 8, 8), 0.6), "labels": torch.arange(6)}


def submit(folder: Path, **changed: torch.Tensor | None) -> tuple[str, Ball, object]:
    tensors = {name: one for name, one in {**MADE, **changed}.items() if one is not None}
    path = folder / "mine.safetensors"
    save_file(tensors, path)
    return read_submission(path, RULES, folder)


def test_a_set_is_in_the_first_ball_that_holds_it(folder: Path) -> None:
    assert submit(folder)[:2] == ("digits", BALLS[0])
    assert submit(folder, images=MADE["images"] + 0.05)[:2] == ("digits", BALLS[1])
    one_pixel = torch.full((6, 1, 8, 8), 0.5)
    one_pixel[0, 0, 0, 0] = 0.8
    assert submit(folder, images=one_pixel)[:2] == ("digits", BALLS[2])


def with_value(value: float) -> torch.Tensor:
    images = MADE["images"].clone()
    images[3, 0, 0, 0] = value
    return images


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": with_value(0.75)}, r"in no ball .* linf 0.25, l2 0.832\d*, that of image 3"),
        ({"images": with_value(float("nan"))}, "image 3 has values that are not finite"),
        ({"images": with_value(1.5)}, r"from 0.6 to 1.5: keep them in \[0, 1\]"),
        ({"images": MADE["images"].double()}, "torch.float64"),
        ({"images": MADE["images"].flatten(1)}, r"\(6, 64\): make them \(N, C, H, W\)"),
        ({"images": MADE["images"][:, :, :7].clone()}, "not those of the challenge"),
        ({"images": torch.zeros(7, 1, 8, 8), "labels": torch.arange(7)}, "of the 384 values"),
        ({"images": MADE["images"][:5], "labels": torch.arange(5)}, "the first 6 of"),
        ({"labels": torch.arange(6).flip(0)}, "in the order of the test set"),
        ({"labels": torch.arange(5)}, r"labels \(5,\) of images \(6, 1, 8, 8\)"),
        ({"labels": None}, "it has the tensors images: it needs images and labels"),
        ({"other": torch.zeros(1)}, "and no others"),
    ],
)
def test_a_set_that_is_none_is_refused(
    folder: Path, changed: dict[str, torch.Tensor | None], said: str
) -> None:
    with pytest.raises(SubmissionError, match=said):
        submit(folder, **changed)


def test_nothing_is_unpickled(folder: Path, trap: object, tmp_path: Path) -> None:
    path = folder / "mine.safetensors"
    torch.save(trap, path)
    with pytest.raises(SubmissionError, match="no safetensors file"):
        read_submission(path, RULES, folder)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("notes.txt", "neither .py"),
        ("gaussian.py", "none of the study's: fgsm, gaussian, highpass, none"),
        ("My Filter.py", "no name for it"),
        ("missing.py", "is not there"),
    ],
)
def test_a_file_says_by_its_name_what_it_is(folder: Path, name: str, said: str) -> None:
    (folder / "rules.yaml").write_text(RULES.model_dump_json())
    if "missing" not in name:
        (folder / name).touch()
    with pytest.raises(SubmissionError, match=said):
        score(folder / name, folder)


def test_another_folder_is_none_of_a_challenge(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`make challenge` makes"):
        score(tmp_path / "mine.py", tmp_path)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import time; time.sleep(60)", "more than 1 s for its trial, and was ended"),
        ("import os; os._exit(7)", "with exit code 7, without an answer"),
        ("import os; os.abort()", "by signal 6"),
        ("import sys; sys.exit('\\x1b[1mred')", "without an answer:  [1mred"),
        ("raise MemoryError", "MemoryError; it may take 4,000 MB"),
    ],
)
def test_a_process_that_gives_no_answer_is_explained(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setattr(apart, "_PROGRAM", program)
    here, submission = tmp_path / "here", tmp_path / "mine.py"
    here.mkdir()
    submission.touch()
    with pytest.raises(SubmissionError, match=re.escape(said)):
        apart.run_apart(submission, "mine", folder, here, Limits(seconds=1))


def test_scoring_that_takes_too_long_is_ended(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(apart, "TRIAL_SECONDS", 0.1)
    (tmp_path / "tried").touch()
    (tmp_path / "mine.py").touch()
    with pytest.raises(SubmissionError, match="more than 1 s, and was ended"):
        apart.run_apart(tmp_path / "mine.py", "mine", folder, tmp_path, Limits(seconds=1))


def test_the_identity_s_gradient_takes_the_place_of_a_filter_s() -> None:
    of = {"implementation": "epsigma.filters.gaussian:Gaussian", "parameters": {"sigma": 1.0}}
    module = build_filter({"implementation": IMPLEMENTATION, "parameters": {"of": of}})
    images = torch.rand((2, 1, 8, 8), requires_grad=True)
    filtered = attackable(module, "bpda")(images)
    assert filtered.equal(build_filter(of)(images))
    (gradient,) = torch.autograd.grad(filtered[0, 0, 4, 4], images)
    assert gradient.nonzero().tolist() == [[0, 0, 4, 4]]


CONFINED = """
import os, signal, sys
from pathlib import Path
from epsigma.challenge.landlock import confine

here, other = map(Path, sys.argv[1:])
assert confine(here)
(here / "mine").write_text("x")
(here / "mine").rename(here / "moved")
Path(os.devnull).write_text("x")
assert other.read_text() == "theirs"
tries = [
    lambda: other.write_text("x"),
    lambda: os.truncate(other, 0),
    lambda: other.unlink(),
    lambda: other.with_name("new").touch(),
    lambda: (here / "moved").rename(other),
]
for one in tries:
    try:
        one()
    except OSError:
        continue
    raise AssertionError(one)
"""


@pytest.mark.skipif(
    sys.platform != "linux"
    or subprocess.run(
        [sys.executable, "-c", "import ctypes, sys; sys.exit("
         "ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) < 3)"]
    ).returncode != 0,
    reason="needs Landlock (Linux 6.2)",
)  # fmt: skip
def test_a_confined_process_writes_in_its_folder_only(tmp_path: Path) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    other.write_text("theirs")
    command = [sys.executable, "-c", CONFINED, str(here), str(other)]
    done = subprocess.run(command, env={"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (here / "moved").read_text() == "x"
    assert other.read_text() == "theirs"
    assert not (tmp_path / "new").exists()


def test_a_system_without_landlock_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not confine(tmp_path)
