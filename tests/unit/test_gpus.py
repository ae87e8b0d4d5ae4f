"""Of several GPUs, none of which is real, each job has one of its own."""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from epsigma.device import resolve
from epsigma.gpus import choose_gpu, lending_gpu
from epsigma.job import Job

GPUS = ["first", "second", "third"]

# Another process: it takes a GPU, says which, and keeps it until it is spoken to, or is killed.
OTHER = """
import sys
from epsigma.gpus import choose_gpu, lending_gpu
with lending_gpu():
    print(choose_gpu(sys.argv[1:]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def slots(monkeypatch, tmp_path):
    """Keep the files of these GPUs apart from those of the machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other(slots):
    """A process that has a GPU, and which one that is."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, *GPUS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": "workflow", "TMPDIR": str(slots)},
    )
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def take():
    with lending_gpu():
        return choose_gpu(GPUS)


def test_jobs_that_run_at_a_time_have_one_each():
    together = Barrier(3)

    def work(_):
        with lending_gpu():
            chosen = choose_gpu(GPUS)
            together.wait(timeout=20)
            # It stays the job's.
            assert choose_gpu(GPUS) == chosen
            together.wait(timeout=20)
            return chosen

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(work, range(3))) == [0, 1, 2]
    assert take() == 0


def test_a_job_that_fails_gives_its_gpu_back():
    with pytest.raises(ZeroDivisionError), lending_gpu():
        _ = 1 / choose_gpu(GPUS)
    assert take() == 0


def test_a_job_asks_for_a_gpu_only_when_it_needs_one():
    with lending_gpu(), lending_gpu():
        assert choose_gpu(GPUS) == 0


def test_where_all_are_taken_jobs_share_the_first():
    with lending_gpu():
        assert choose_gpu(GPUS[:1]) == 0
        with lending_gpu():
            assert choose_gpu(GPUS[:1]) == 0


def test_another_process_has_another_until_it_is_killed(other):
    process, taken = other
    assert (taken, take()) == (0, 1)
    process.kill()
    process.wait()
    assert take() == 0


def test_a_gpu_computes_in_float32_as_scoring_does(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert resolve("cpu") == torch.device("cpu")
    assert torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve("auto") == torch.device("cuda")
    assert not torch.backends.cudnn.allow_tf32


def test_the_device_of_a_job_is_its_gpu(monkeypatch, tmp_path):
    def describe(index):
        return type("Properties", (), {"uuid": GPUS[index]})

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", describe)
    first, second = (
        Job({}, {}, "", "cuda", str(tmp_path / name)) for name in ("first.log", "second.log")
    )
    with first.logged():
        assert resolve("auto") == torch.device("cuda", 0)
        with second.logged():
            assert resolve("cuda") == torch.device("cuda", 1)
            assert resolve("cpu") == torch.device("cpu")
    # Outside a job, as in a notebook.
    assert resolve("auto") == torch.device("cuda", 0)
