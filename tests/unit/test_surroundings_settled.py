"""What sites and shells set in the environment reaches no job, however the job is started."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from epsigma.surroundings import ALLOCATOR, THREADS, settle
from epsigma.training.lightning import make_trainer, silence_lightning
from pytorch_lightning.plugins.environments import SLURMEnvironment

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
PROCESS = f"""
import json, subprocess, sys, threading
import numpy  # as Snakemake does
sys.path[:0] = [{str(ROOT / "workflow")!r}, "."]
if "torch first" in sys.argv:
    import torch
from epsigma.engine import prepare_process
prepare_process()
from launched import threads
from epsigma.forkserver import ForkServer
from epsigma.job import Job

found = {{}}
thread = threading.Thread(target=lambda: found.update(thread=threads()))
thread.start()
thread.join()
assert not ForkServer([]).run("launched:tell", Job({{}}, {{}}, "", "cpu", ""), {{"path": "forked"}})
found["forked"] = json.load(open("forked"))
program = "import json, launched; print(json.dumps(launched.threads()))"
found["subprocess"] = json.loads(subprocess.check_output([sys.executable, "-c", program]))
print(json.dumps(found))
"""
LAUNCHED = """
import json

def threads():
    import numpy, threadpoolctl, torch
    # A thread tells OpenMP how many it may use when it first asks torch.
    own = torch.get_num_threads()
    loaded = threadpoolctl.threadpool_info()
    return [own, *(one["num_threads"] for one in loaded)]

def tell(job, *, path):
    with open(path, "w") as stream:
        json.dump(threads(), stream)
"""


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        (dict.fromkeys(THREADS, "3"), []),
        ({"OMP_NUM_THREADS": "2,3", "MKL_DOMAIN_NUM_THREADS": "MKL_DOMAIN_ALL=2"}, ["torch first"]),
    ],
)
def test_a_job_has_one_thread_whatever_is_set_and_however_it_is_started(
    tmp_path: Path, given: dict[str, str], arguments: list[str]
) -> None:
    (tmp_path / "launched.py").write_text(LAUNCHED)
    bare = {key: value for key, value in os.environ.items() if key not in THREADS}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, *arguments],
        cwd=tmp_path,
        env={**bare, **given},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"thread", "forked", "subprocess"}
    assert all(set(threads) == {1} for threads in found.values()), found


@pytest.mark.parametrize("name", ["PL_TRAINER_GRADIENT_CLIP_VAL", "PL_TRAINER_FAST_DEV_RUN"])
def test_defaults_of_lightning_from_the_environment_reach_no_training(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": "", name: "1"})
    monkeypatch.setattr("epsigma.surroundings.import_module", lambda _: MagicMock())
    monkeypatch.setattr("epsigma.surroundings.ctypes.CDLL", lambda _: MagicMock())
    threads = torch.get_num_threads()
    settle()
    torch.set_num_threads(threads)
    kept = {name: str(values[0]) for name, (_, values) in ALLOCATOR.items()}
    assert os.environ == {"PATH": "", **dict.fromkeys(THREADS, "1"), **kept}


class Allocator:
    """A C library whose mallopt takes no threshold above so many MB."""

    def __init__(self, most: int) -> None:
        self.most = most << 20
        self.told: list[tuple[int, int]] = []

    def mallopt(self, parameter: int, value: int) -> int:
        self.told.append((parameter, value))
        return int(parameter != MMAP_THRESHOLD or value <= self.most)


MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8


@pytest.mark.parametrize(
    ("given", "most", "left"),
    [
        ({}, 64, {"MMAP_THRESHOLD_": 64 << 20, "TRIM_THRESHOLD_": 256 << 20, "ARENA_MAX": 1}),
        # As glibc 2.31.
        ({}, 32, {"MMAP_THRESHOLD_": 32 << 20, "TRIM_THRESHOLD_": 256 << 20, "ARENA_MAX": 1}),
        # Without that threshold another parameter would make it worse than it is by itself.
        ({}, 0, {}),
        ({"ARENA_MAX": 2}, 64, {"MMAP_THRESHOLD_": 64 << 20, "TRIM_THRESHOLD_": 256 << 20}),
    ],
)
def test_memory_that_is_freed_is_kept_unless_the_user_has_chosen(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, int], most: int, left: dict[str, int]
) -> None:
    library = Allocator(most)
    monkeypatch.setattr("epsigma.surroundings.ctypes.CDLL", lambda _: library)
    monkeypatch.setattr("epsigma.surroundings.import_module", lambda _: MagicMock())
    before = {f"MALLOC_{name}": str(value) for name, value in given.items()}
    monkeypatch.setattr(os, "environ", {**before})
    threads = torch.get_num_threads()
    settle()
    torch.set_num_threads(threads)
    found = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
    assert found == before | {f"MALLOC_{name}": str(value) for name, value in left.items()}
    # Once another is set the first is no longer found by itself.
    assert [parameter for parameter, _ in library.told][:1] == [MMAP_THRESHOLD]
    told = {parameter for parameter, _ in library.told}
    assert (ARENA_MAX in told) == ("ARENA_MAX" in left)
    assert (TRIM_THRESHOLD in told) == ("TRIM_THRESHOLD_" in left)


ALLOCATIONS = {
    "nothing": {},
    "tasks": {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "study", "SLURM_PROCID": "0"},
    "second task": {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
    "nodes": {"SLURM_NTASKS": "1", "SLURM_NNODES": "2", "SLURM_NODEID": "1"},
    "torchrun": {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3"},
    "LSF": {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_LOCAL_RANK": "1"},
    "Kubeflow": dict.fromkeys(
        ("KUBERNETES_PORT", "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"), "2"
    ),
}


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_training_is_one_process_on_one_device_in_any_allocation(
    monkeypatch: pytest.MonkeyPatch, allocation: str
) -> None:
    for name, value in ALLOCATIONS[allocation].items():
        monkeypatch.setenv(name, value)
    trainer = make_trainer(1, CPU)
    assert (trainer.world_size, trainer.global_rank, trainer.num_nodes) == (1, 0, 1)
    assert trainer.is_global_zero


def test_no_advice_of_srun_where_slurm_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with silence_lightning():
            assert not SLURMEnvironment.detect()
        assert not shown
        # The file is what Lightning sees.
        SLURMEnvironment.detect()
        assert "srun" in str(shown[0].message)
