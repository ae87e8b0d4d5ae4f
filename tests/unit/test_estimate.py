"""How long a run takes is told by Snakemake's records, or not at all."""

import base64
import inspect
import json
from types import SimpleNamespace

import pytest
from epsigma.estimate import LOOKED_AT, estimate_time, tell_time
from snakemake.persistence import PersistenceBase

SETS = "results/d/m/seed~{}/adversarial/blind/{}/eps~{}.safetensors"


def job(output, *inputs):
    return SimpleNamespace(output=[output] if output else [], input=list(inputs))


@pytest.fixture
def note(tmp_path):
    """Record, as Snakemake does, that a file took so many seconds."""

    def noted(path, seconds):
        name = base64.urlsafe_b64encode(path.encode()).decode()
        # As Snakemake cuts long names into folders.
        file = tmp_path.joinpath(*(f"@{name[n : n + 200]}" for n in range(0, len(name), 200)))
        if len(name) <= 200:
            file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"rule": "a", "starttime": 100.0, "endtime": 100.0 + seconds}))
        return file

    return noted


@pytest.mark.parametrize(
    ("cores", "expected"),
    # 0: 4 s; then 1 and 2: 3 s each; then 3: 1 s, which waits for both.
    [(1, 11), (2, 8), (9, 8)],
)
def test_jobs_wait_for_their_inputs_and_for_cores(note, tmp_path, cores, expected):
    for path, seconds in {"a": 4, "b": 3, "c": 3, "d": 1}.items():
        note(path, seconds)
    jobs = [job("d", "b", "c"), job("a", "there before"), job("b", "a"), job("c", "a"), job("")]
    found = estimate_time(jobs, cores, str(tmp_path))
    assert found.seconds == pytest.approx(expected)
    assert found.unknown == 0
    assert found.of_jobs == [pytest.approx(n) for n in (1, 4, 3, 3, 0)]


def test_like_a_job_are_those_that_differ_in_their_levels_only(note, tmp_path):
    note(SETS.format(0, "pgd", 0.1), 2)
    note(SETS.format(12, "pgd", 1), 4)
    note(SETS.format(0, "fgsm", 0.1), 100)
    asked = [job(SETS.format(1, "pgd", 0.25)), job(SETS.format(0, "jsma", 0.1))]
    found = estimate_time(asked, 1, str(tmp_path))
    assert found.of_jobs == [pytest.approx(3), None]
    assert (found.unknown, found.seconds) == (1, pytest.approx(3))


def test_a_job_takes_as_long_as_the_last_of_its_files(note, tmp_path):
    note("a.svg", 1)
    note("b.svg", 5)
    asked = SimpleNamespace(output=["a.svg", "b.svg", "new.svg"], input=[])
    assert estimate_time([asked], 2, str(tmp_path)).of_jobs == [pytest.approx(5)]


def test_records_that_a_kill_cut_short_are_no_records(note, tmp_path):
    note("a", 1).write_text('{"rule": "a", "start')
    (tmp_path / "no base64!").touch()
    assert estimate_time([job("a")], 1, str(tmp_path)) == (0, 1, [None])
    assert estimate_time([job("a")], 1, str(tmp_path / "none")) == (0, 1, [None])


def test_of_many_alike_some_are_looked_at(note, tmp_path, monkeypatch):
    for n in range(3 * LOOKED_AT):
        note(f"eps~{n}", 1)
    read, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: read.append(text) or loads(text))
    found = estimate_time([job("eps~1")], 1, str(tmp_path))
    assert len(read) == LOOKED_AT
    assert found.of_jobs == [pytest.approx(1)]


def test_long_names_are_read_as_snakemake_writes_them(note, tmp_path):
    path = "results/" + "a" * 400
    note(path, 7)
    assert estimate_time([job(path)], 1, str(tmp_path)).of_jobs == [pytest.approx(7)]


def test_snakemake_still_records_when_a_job_began_and_ended():
    """If this fails, an upgrade of Snakemake wants another `epsigma.estimate`."""
    written = inspect.getsource(PersistenceBase.finished)
    for part in ("record.starttime =", "record.endtime ="):
        assert part in written


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3540, "59 min"),
        (3600, "1 h"),
        (9000, "2 h 30 min"),
    ],
)
def test_times_are_told_as_readers_would(seconds, said):
    assert tell_time(seconds) == said
