"""What is listed and removed as no longer named: Snakemake's own files only, inside results/."""

import base64
import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "prune.py"
NAMED = "results/tables/cells.csv"
LONG = f"results/{'x' * 120}/{'y' * 120}"


def make(folder: Path, name: str, size: int = 1000, log: str | None = None) -> Path:
    """Write a file, and the record that Snakemake keeps of it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    encoded = base64.urlsafe_b64encode(name.encode()).decode()
    pieces = [encoded[i : i + 254] for i in range(0, len(encoded), 254)]
    *above, last = pieces
    record = folder.joinpath(".snakemake", "metadata", *("@" + piece for piece in above), last)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"rule": "r", "log": [log] if log else []}))
    return path


@pytest.fixture
def prune(tmp_path, monkeypatch, capsys):
    """Run the script where the study `one` names a table, and `two` a figure, too."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path, NAMED)

    def run(*arguments):
        script = runpy.run_path(str(SCRIPT))
        planned = {None: {NAMED}, "one": {NAMED}, "two": {NAMED, "results/f.svg"}}

        def named(directory, study, options):
            return planned[study and Path(study).name]

        script["main"].__globals__["named"] = named
        monkeypatch.setattr(sys, "argv", ["prune.py", *arguments])
        script["main"]()
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", ["results/f.svg", "results/a b/ü.csv", LONG])
def test_what_is_no_longer_named_is_listed_with_its_size_and_removed_when_told(
    prune, tmp_path, name
):
    path = make(tmp_path, name, 2_000_000, log="logs/f.log")
    log = tmp_path / "logs" / "f.log"
    log.parent.mkdir()
    log.touch()
    said = prune()
    assert f"2.000 MB  {name}\n" in said
    assert "1 files, 2.0 MB" in said
    assert "--remove (make prune REMOVE=yes) removes them" in said
    assert path.exists()
    assert log.exists()
    assert "removed" in prune("--remove")
    assert not path.exists()
    assert not log.exists()
    assert (tmp_path / NAMED).exists()
    assert [*(tmp_path / "results").iterdir()] == [tmp_path / "results" / "tables"]
    assert "0 files" in prune()


def test_the_log_of_a_job_that_made_files_that_stay_stays(prune, tmp_path):
    log = tmp_path / "logs" / "figures.log"
    log.parent.mkdir()
    log.touch()
    dropped = make(tmp_path, "results/f.svg", log="logs/figures.log")
    make(tmp_path, NAMED, log="logs/figures.log")
    assert "1 files" in prune("--remove")
    assert not dropped.exists()
    assert log.exists()


def test_a_record_that_a_kill_cut_short_stops_nothing(prune, tmp_path):
    dropped = make(tmp_path, "results/f.svg")
    for record in (tmp_path / ".snakemake" / "metadata").iterdir():
        record.write_bytes(b"")
    assert "(of unknown: 1): removed" in prune("--remove")
    assert not dropped.exists()
    assert (tmp_path / NAMED).exists()


@pytest.mark.parametrize("name", [".DS_Store", "notes.txt", "_w=="])
def test_a_file_among_the_records_that_is_no_record_is_passed_over(prune, tmp_path, name):
    dropped = make(tmp_path, "results/f.svg")
    stray = tmp_path / ".snakemake" / "metadata" / name
    stray.touch()
    assert "1 files" in prune("--remove")
    assert not dropped.exists()
    assert stray.exists()


def test_files_of_all_studies_that_are_named_stay(prune, tmp_path):
    made = make(tmp_path, "results/f.svg")
    assert "0 files" in prune("--remove", "--study", "one", "--study", "two")
    assert made.exists()
    assert "that one names no longer" in prune("--study", "one")


def link_file(folder):
    make(folder, "results/link")
    (folder / "results" / "link").replace(folder / "theirs")
    (folder / "results" / "link").symlink_to(folder / "theirs")
    return folder / "theirs"


def link_folder(folder):
    theirs = make(folder, "elsewhere/theirs")
    make(folder, "results/out/theirs")
    (folder / "results" / "out" / "theirs").unlink()
    (folder / "results" / "out").rmdir()
    (folder / "results" / "out").symlink_to(folder / "elsewhere")
    return theirs


def of_the_user(folder):
    (folder / "results" / "notes.txt").touch()
    return folder / "results" / "notes.txt"


@pytest.mark.parametrize(
    "place",
    [
        link_file,
        link_folder,
        of_the_user,
        lambda folder: make(folder, "other/file"),
        lambda folder: make(folder, "results/../outside"),
    ],
)
def test_what_is_linked_to_elsewhere_or_the_users_own_stays(prune, tmp_path, place):
    kept = place(tmp_path)
    assert "0 files" in prune("--remove")
    assert kept.exists()


def test_nothing_is_removed_while_a_snakemake_is_at_work(prune, tmp_path):
    made = make(tmp_path, "results/f.svg")
    (tmp_path / ".snakemake" / "locks").mkdir()
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").touch()
    with pytest.raises(SystemExit, match="is locked"):
        prune("--remove")
    assert made.exists()
