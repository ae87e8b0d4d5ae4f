"""A disk that is full or not to be written to, a folder in use, wrong clocks, a missing package."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import Workdir
from striking import (
    EXTENDED,
    assert_as_undisturbed,
    files,
    forget,
    half_written,
    halted,
    run,
    tables,
)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount something on a folder for a while; skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs the right to mount (root, CAP_SYS_ADMIN): {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


# The data and the checkpoint take 0.3 MB, a set 0.1 MB.
@pytest.mark.parametrize("room", [500, pytest.param(60, marks=pytest.mark.slow)])
def test_a_full_disk_is_named_and_what_was_written_before_is_kept(
    finished: Workdir, undisturbed: Workdir, room: int
) -> None:
    results = finished.directory / "results"
    shutil.rmtree(results)
    with mounted(results, "-t", "tmpfs", "-o", f"size={room}k", "tmpfs"):
        code, said = run(finished)
        assert code != 0
        assert "cannot be written" in said
        assert "MB free; make room there" in said
        # Two jobs may be at work. The others, which would fail, too, are not tried.
        assert said.count("cannot be written") <= 2
        assert not half_written(finished)
        made = files(finished)
        assert bool(made) == (room > 300)

        remount(results, "size=50m")
        assert_as_undisturbed(finished, undisturbed)
        assert made.items() <= files(finished).items()


@pytest.mark.parametrize("part", ["results", pytest.param(".", marks=pytest.mark.slow)])
def test_a_folder_that_cannot_be_written_to_is_named_and_stays_as_it_is(
    finished: Workdir, extended: Workdir, part: str
) -> None:
    folder = finished.directory / part
    before = files(finished)
    finished.configure(EXTENDED)
    with mounted(folder, "--bind", str(folder)):
        remount(folder, "ro,bind")
        code, said = run(finished)
        assert code != 0
        assert ("Write-protected output files" if part == "results" else "--directory") in said
        assert "Traceback" not in said
        assert ("results/tables/" if part == "results" else str(folder.resolve())) in said
        assert files(finished) == before
    assert_as_undisturbed(finished, extended)
    assert before.items() - files(finished).items() == {
        item for item in before.items() if item[0].startswith("results/tables/")
    }


def test_a_second_run_in_a_folder_is_refused_and_the_first_goes_on(
    finished: Workdir, undisturbed: Workdir
) -> None:
    forget(finished, "digits/net/seed~0/metrics")
    with halted(finished, "naming results/tables/cells.csv") as running:
        before = files(finished)
        code, said = run(finished)
        assert code != 0
        assert "Directory cannot be locked" in said
        assert str(finished.directory) in said
        refused = finished.unlock()
        assert refused.returncode != 0
        assert str(running.process.pid) in refused.stderr
        assert files(finished) == before
        running.release()
        said = running.end()
        assert running.process.returncode == 0, said
    assert tables(finished) == tables(undisturbed)
    assert not half_written(finished)


DAY = 86400


@pytest.mark.parametrize(
    ("pattern", "days", "small", "remade"),
    [
        # Snakemake looks into small files, and only at the time of others.
        pytest.param("data/**/*.safetensors", 2, True, False, marks=pytest.mark.slow),
        pytest.param("**/*.parquet", -2, True, False, marks=pytest.mark.slow),
        ("**/*.json", 2, True, False),
        pytest.param("**/*", 2, False, False, marks=pytest.mark.slow),
        pytest.param("**/*", -2, False, False, marks=pytest.mark.slow),
        ("digits/net/seed~0/adversarial/blind/push/eps~0.1.safetensors", 2, False, True),
    ],
)
def test_clocks_that_disagree_stop_nothing_and_change_no_number(
    finished: Workdir, undisturbed: Workdir, pattern: str, days: int, small: bool, remade: bool
) -> None:
    for path in (finished.directory / "results").glob(pattern):
        if path.is_file():
            mtime = path.stat().st_mtime + days * DAY
            os.utime(path, (mtime, mtime))
    before = files(finished)
    look = [] if small else ["--max-checksum-file-size", "0"]
    code, said = run(finished, *look)
    assert code == 0, said
    assert (files(finished) != before) == remade
    assert ("in the future, and has the present time now" in said) == remade
    code, said = run(finished, *look)
    assert code == 0, said
    assert "Nothing to be done" in said
    assert tables(finished) == tables(undisturbed)
    assert max(files(finished).values()) <= time.time_ns() or not remade


# Makes a package invisible, as on a machine where it is not installed.
WITHOUT = """
import importlib.machinery
import os

find_spec = importlib.machinery.PathFinder.find_spec


def without(name, *arguments):
    return None if name == os.environ.get("MISSING") else find_spec(name, *arguments)


importlib.machinery.PathFinder.find_spec = without
"""


@pytest.mark.parametrize("package", ["torch", "kornia"])
def test_a_machine_without_a_package_says_so_before_any_job(
    finished: Workdir, extended: Workdir, tmp_path: Path, package: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "MISSING": package}
    before = files(finished)
    finished.configure(EXTENDED)
    code, said = run(finished, env=environment)
    assert code != 0
    assert f"lacks {package}" in said
    assert "envs/run.txt" in said
    assert "Traceback" not in said
    assert files(finished) == before
    if package == "torch":
        assert_as_undisturbed(finished, extended)
