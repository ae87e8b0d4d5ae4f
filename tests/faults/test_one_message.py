"""Of a fault one message of a few lines is printed; the job's log has the traceback."""

import re
from pathlib import Path

import numpy as np
import pytest
from running import Workdir, new_workdir
from striking import STUDY

ENTRIES = """
from epsigma.kinds import DatasetKind, FilterKind, Hyperparameters, Kind
from pydantic import Field

class Part(Hyperparameters):
    part: float = Field(description="part")

DATA = DatasetKind("own_code:data")
MODEL = Kind("own_code:Model")
FILTER = FilterKind("own_code:Filtering", Part, swept="part", gradient="exact")
"""
CODE = """
import numpy as np
from epsigma.datasets.images import Dataset, Images
from epsigma.filters.filter import Filter
from torch import nn

def data(data_dir):
    return Dataset(*[Images(np.zeros((9, 1, 8, 8), int), np.zeros(9))] * 2)

class Model(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.linear = nn.Linear(17, classes)

    def forward(self, x):
        return self.linear(x.flatten(1))

class Filtering(Filter):
    is_linear = False

    def __init__(self, *, part):
        super().__init__()

    def forward(self, images):
        return imagess

    def formula(self, images):
        return images
"""
PLAIN = {**STUDY, "models": [{"kind": "mlp"}], "attacks": [{"kind": "fgsm", "eps": [0.1]}]}
PROBES = "results/data/digits/probes"
# What fails, what is asked for, and what is said of it.
FAILING = {
    "logs/data/data.log": (
        "results/data/data/test.safetensors",
        "images are int64 of shape (9, 1, 8, 8), not uint8",
    ),
    "logs/data/mine.log": (
        "results/data/mine/test.safetensors",
        "data/mine.npz has no test set: say with test_fraction",
    ),
    "logs/digits/model/seed~0/train.log": (
        "results/digits/model/seed~0/checkpoint.ckpt",
        "ModelError: model model: asked about images (16, 1, 8, 8), it raised RuntimeError",
    ),
    # Of two jobs.
    "logs/data/digits/probes/filter/part~0.5.log": (
        f"{PROBES}/filter/part~0.5.json {PROBES}/filter/part~0.6.json",
        "name 'imagess' is not defined",
    ),
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    study = {
        **STUDY,
        "datasets": [
            {"kind": "own_kinds:DATA"},
            {"kind": "file", "name": "mine", "path": "mine.npz"},
            {"kind": "digits"},
        ],
        "models": [{"kind": "own_kinds:MODEL"}],
        "attacks": [{"kind": "fgsm", "eps": [0.1]}],
        "filters": [{"kind": "own_kinds:FILTER", "part": [0.5, 0.6]}],
    }
    made = new_workdir(tmp_path_factory.mktemp("messages") / "epsigma", study)
    (made.directory / "own_kinds.py").write_text(ENTRIES, encoding="utf-8")
    (made.directory / "own_code.py").write_text(CODE, encoding="utf-8")
    (made.directory / "own_broken.py").write_text("import os\nos.nosuch\n", encoding="utf-8")
    (made.directory / "data").mkdir()
    images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    np.savez(made.directory / "data" / "mine.npz", images=images, labels=labels)
    return made


@pytest.fixture(scope="module")
def said(workdir: Workdir) -> str:
    """What a run prints in which all these fail."""
    targets = [path for asked, _ in FAILING.values() for path in asked.split()]
    done = workdir.snakemake(*targets)
    assert done.returncode == 1
    return done.stdout + done.stderr


@pytest.mark.parametrize("log", FAILING)
def test_the_reason_is_printed_once_and_the_job_s_log_has_the_traceback(
    workdir: Workdir, said: str, log: str
) -> None:
    assert said.count(FAILING[log][1]) == 1
    assert f": {log}\n" in said
    assert "Traceback (most recent call last)" in (workdir.directory / log).read_text()


def test_nothing_printed_of_a_failed_job_is_longer_than_ten_lines(said: str) -> None:
    assert "Traceback" not in said
    # But for the line of the user's own code.
    frames = re.findall(r'^  File "(.*)", line \d+, in (\w+)', said, re.MULTILINE)
    assert {(Path(path).name, name) for path, name in frames} <= {
        *(("own_code.py", name) for name in ("forward", "data")),
        ("<string>", "__init__"),
    }
    failures = re.split(r"(?<=^)(?=\w+ in file )", said, flags=re.MULTILINE)[1:]
    assert len(failures) == len(FAILING)
    # The last one is followed by the end of the run.
    assert all(len(one.splitlines()) <= 10 for one in failures[:-1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"attacks": [{"kind": "own_broken:ATTACK", "part": [1]}]},
            "no entry of a registry: AttributeError: module 'os' has no attribute 'nosuch'",
        ),
        # Of many faults the first and the last ones are shown.
        (
            {
                "filters": [
                    {"kind": "lowpass", "name": f"f{number}", "cutoff": [0.9]}
                    for number in range(20)
                ]
            },
            "… 15 lines more …",
        ),
        (
            {"datasets": [{"kind": "file", "name": "mine", "path": "none.npz"}]},
            "data/none.npz is not there",
        ),
    ],
)
def test_a_faulty_study_is_refused_in_a_few_lines(
    workdir: Workdir, tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    faulty = workdir.copy(tmp_path / "faulty")
    faulty.configure({**PLAIN, **changed})
    done = faulty.snakemake("-n", "--quiet", "rules")
    printed = done.stdout + done.stderr
    assert done.returncode == 1
    assert printed.count(message) == 1
    assert len(printed.splitlines()) <= 10
    assert "Traceback" not in printed
