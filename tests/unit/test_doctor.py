"""`make doctor` says what is wrong with a machine, and what helps; `install.py` what pip does."""

import ast
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest
from epsigma.cell import Cell
from epsigma.plan import paths
from epsigma.plan.disk import Disk
from epsigma.plan.grid import cells
from epsigma.study import expand, validate

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
STUDY = {
    "datasets": [{"kind": "digits"}],
    "models": [{"kind": "mlp"}],
    "attacks": [{"kind": "fgsm", "eps": [0, 0.1]}],
    "filters": [{"kind": "gaussian", "sigma": [1, 2]}],
}


@pytest.fixture
def doctor() -> ModuleType:
    spec = importlib.util.spec_from_file_location("doctor", SCRIPTS / "doctor.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def only(findings):
    (one,) = findings
    return one


def test_an_old_python_can_read_it_to_be_told_that_it_is_old():
    source = (SCRIPTS / "doctor.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    imported = {
        name.name.partition(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported <= set(sys.stdlib_module_names)


def test_without_an_environment_it_says_so_and_goes_on(tmp_path):
    # -I and -S: no package but those of Python itself.
    command = [sys.executable, "-I", "-S", str(SCRIPTS / "doctor.py"), "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "warn  environment: there is none yet\n      → make environment\n" in done.stdout
    assert "wanted: the environment 6.4 GB" in done.stdout
    marks = [line[:4].strip() for line in done.stdout.splitlines() if line[:1] != " "][:-1]
    assert set(marks) <= {"ok", "warn", "fail"}
    assert len(marks) >= 10
    assert done.returncode == ("fail" in marks)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("version", "mark", "remedy"),
    [((3, 11, 2), "ok", ""), ((3, 12, 1), "fail", "PYTHON="), ((3, 8, 0), "fail", "PYTHON=")],
)
def test_of_another_python_the_right_one_is_named(doctor, monkeypatch, version, mark, remedy):
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(doctor, "is_environment", lambda: True)
    found = only(doctor.check_python())
    assert found.mark == mark
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("done", "mark", "told"),
    [
        (subprocess.CompletedProcess([], 0, ""), "ok", "answers"),
        (
            subprocess.CompletedProcess([], 1, "WARNING: a\nERROR: no match\n"),
            "fail",
            "ERROR: no match",
        ),
        (None, "fail", "no answer"),
    ],
)
def test_a_registry_that_does_not_answer_is_named(doctor, monkeypatch, done, mark, told):
    monkeypatch.setattr(doctor, "is_environment", lambda: False)
    monkeypatch.setattr(doctor, "ask", lambda *command, patience: done)
    found = only(doctor.check_registry())
    assert (found.mark, told in found.what) == (mark, True)
    assert ("PIP_INDEX_URL" in found.remedy) == (mark == "fail")


@pytest.mark.parametrize(
    ("pins", "mark"),
    [
        ([f"pytest=={pytest.__version__}"], "ok"),
        ([f"pytest=={pytest.__version__}", "pytest==0.1"], "warn"),
        (["no-such-package==1"], "fail"),
    ],
)
def test_packages_are_held_against_the_pins(doctor, monkeypatch, pins, mark):
    monkeypatch.setattr(doctor, "_read_pins", lambda: pins)
    found = only(doctor.check_packages())
    assert found.mark == mark
    if mark != "ok":
        assert pins[-1].split("==")[0] in found.what
        assert "pip install -r" in found.remedy


Usage = namedtuple("Usage", "free")


def test_the_disk_is_held_against_what_the_study_will_take(doctor, tmp_path, monkeypatch):
    config = tmp_path / "study.yaml"
    config.write_text(json.dumps(STUDY))
    study = expand(validate(STUDY))
    size, unknown = doctor.estimate_study(tmp_path, config)
    assert unknown == []
    # 8 × 8 images: sets of 360 rows of 4 × 64 + 28 bytes: blind and aware, bare and filtered.
    sets = 2 + 4 + 4 + 4
    assert size > sets * 360 * (4 * 64 + 28)
    assert size < 1.3 * sets * 360 * (4 * 64 + 28)
    # What is there is not wanted again.
    there: Cell = next(iter(cells(study)))
    path = tmp_path / paths.BLIND_SET.format(**there.wildcards)
    path.parent.mkdir(parents=True)
    path.touch()
    one = Disk(study).estimate([(str(path), there.wildcards)])[0]
    assert doctor.estimate_study(tmp_path, config)[0] == size - one
    for free, mark in ((10**12, "ok"), (size, "fail")):
        monkeypatch.setattr("shutil.disk_usage", lambda folder, free=free: Usage(free))
        found = only(doctor.check_disk(tmp_path, config))
        assert found.mark == mark
        assert ("--directory" in found.remedy) == (mark == "fail")


def test_all_faults_of_a_study_that_is_refused_are_told(doctor, tmp_path, monkeypatch, capsys):
    config = tmp_path / "study.yaml"
    config.write_text("models: [{kind: mlp, hiden: 3}]\nattacks: [{kind: nosuch}]")
    found = only(doctor.check_disk(tmp_path, config))
    assert found.mark == "fail"
    assert "config/README.md" in found.remedy
    for name in [name for name in vars(doctor) if name.startswith("check_")]:
        monkeypatch.setattr(doctor, name, lambda *_, name=name: [found] * (name == "check_disk"))
    monkeypatch.setattr(sys, "argv", ["doctor.py", "--directory", str(tmp_path)])
    with pytest.raises(SystemExit, match="True"):
        doctor.main()
    first, *faults, remedy, last = capsys.readouterr().out.splitlines()
    assert first == "fail  study: the configuration cannot be run:"
    assert any("unknown key hiden; allowed: hidden" in line for line in faults)
    assert any("there is no 'nosuch' here" in line for line in faults)
    assert all(line.startswith("      ") for line in [*faults, remedy])
    assert last == "1 looked at: 0 ok, 0 warn, 1 fail"


@pytest.mark.parametrize("block", ["kind: factory, factory: 'nets:small'", "kind: 'nets:SMALL'"])
def test_a_study_with_code_of_the_users_own_is_accepted_as_a_run_accepts_it(
    doctor, tmp_path, monkeypatch, block
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    (tmp_path / "nets.py").write_text(
        "from epsigma.kinds import Kind\nSMALL = Kind('nets:small')\ndef small(shape, classes): ..."
    )
    config = tmp_path / "study.yaml"
    config.write_text(f"models: [{{name: own, {block}}}]")
    found = only(doctor.check_disk(tmp_path, config))
    assert (found.mark, found.what.partition(":")[0]) == ("ok", "disk")


@pytest.mark.parametrize(
    ("free", "mark"), [(1e9, "fail"), (2e9, "warn"), (9e9, "ok"), (None, "warn")]
)
def test_little_memory_is_said(doctor, monkeypatch, free, mark):
    monkeypatch.setattr(doctor, "_read_free_memory", lambda: free)
    monkeypatch.setattr(doctor, "_read_limits", lambda: [])
    assert only(doctor.check_memory()).mark == mark
    if free:
        monkeypatch.setattr(doctor, "_read_limits", lambda: [1e9])
        assert only(doctor.check_memory()).mark == "fail"


def test_folders_of_temporary_files_are_tried(doctor, tmp_path, monkeypatch):
    long = tmp_path / ("a" * 70)
    long.mkdir()
    for named, mark, told in (
        (str(long), "warn", "too many for sockets"),
        (str(tmp_path / "none"), "warn", "cannot be written to"),
        ("/tmp", "ok", "free"),
    ):
        monkeypatch.setenv("TMPDIR", named)
        monkeypatch.setattr(tempfile, "tempdir", None)
        found = only(doctor.check_temporary())
        assert (found.mark, told in found.what) == (mark, True)
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_file_systems_are_tried_and_left_as_they_were(doctor, tmp_path):
    assert only(doctor.check_file_system(tmp_path)).mark == "ok"
    assert not any(tmp_path.iterdir())
    found = only(doctor.check_file_system(tmp_path / "none"))
    assert found.mark == "fail"
    assert "--directory" in found.remedy


@pytest.mark.parametrize(
    ("answer", "plugin", "mark", "remedy"),
    [
        ("echo Slurmctld(primary) at here is UP", True, "ok", ""),
        ("echo Slurmctld(primary) at here is DOWN", False, "warn", "scontrol ping"),
        ("exit 1", True, "warn", "pip uninstall snakemake-executor-plugin-slurm"),
        (None, False, "ok", ""),
    ],
)
def test_slurm_is_asked(doctor, tmp_path, monkeypatch, answer, plugin, mark, remedy):
    if answer:
        (tmp_path / "scontrol").write_text(
            f"#!/bin/sh\n{answer.replace('(', '_').replace(')', '_')}\n"
        )
        (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "_has", lambda module: plugin)
    found = only(doctor.check_slurm())
    assert found.mark == mark
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("listed", "said", "mark"),
    [
        (None, "False None", "ok"),
        ("GPU 0: H100", "True 13.0", "ok"),
        ("GPU 0: H100", "False 13.0", "warn"),
        (None, None, "fail"),
    ],
)
def test_torch_is_asked_for_the_gpu(doctor, monkeypatch, listed, said, mark):
    def ask(*command, patience=0):
        text = listed if command[0] == "nvidia-smi" else said
        done = subprocess.CompletedProcess(command, 0 if text else 1, text or "ImportError: no\n")
        return None if command[0] == "nvidia-smi" and listed is None else done

    monkeypatch.setattr(doctor, "ask", ask)
    found = only(doctor.check_gpu())
    assert found.mark == mark
    assert bool(found.remedy) == (mark != "ok")


def test_a_command_that_does_not_answer_is_not_waited_for(doctor):
    assert doctor.ask("sleep", "5", patience=0.1) is None
    assert doctor.ask("no-such-command") is None


def write_set(path, versions):
    header = json.dumps({"__metadata__": {"versions": json.dumps(versions)}}).encode()
    path.parent.mkdir(parents=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header)


@pytest.mark.parametrize(
    ("versions", "mark"),
    [({"pytest": pytest.__version__}, "ok"), ({"pytest": "0.1"}, "warn"), ({"torch": 1}, "warn")],
)
def test_results_of_other_versions_are_named(doctor, tmp_path, versions, mark):
    assert only(doctor.check_results(tmp_path)).what == "results: none yet"
    write_set(tmp_path / "results" / "data" / "a" / "test.safetensors", versions)
    found = only(doctor.check_results(tmp_path))
    assert found.mark == mark
    assert ("make clean" in found.remedy) == (mark == "warn")


def test_a_lock_is_said(doctor, tmp_path):
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").touch()
    locked, _ = doctor.check_results(tmp_path)
    assert (locked.mark, "is locked" in locked.what) == ("warn", True)


PIP = """
import sys, time
print("Collecting a==1 (from -r some.txt (line 1))")
print("  Downloading a-1-py3-none-any.whl (2 MB)")
print("Collecting b")
print("Installing collected packages: a, b")
time.sleep({seconds})
print("ERROR: no b")
assert sys.argv[-2:] == ["-r", "some.txt"]
sys.exit({status})
"""


def run_install(tmp_path, status=0, seconds=0.0):
    """Install with a pip that takes so many seconds; a line is printed after 0.4 s."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    text = PIP.replace("{status}", str(status)).replace("{seconds}", str(seconds))
    (tmp_path / "pip" / "__main__.py").write_text(text)
    for name in ("packages/a.py", "packages/tests/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    program = (
        "import install, sys; install.PAUSE = 0.4; install.PACKAGES = 'packages'; "
        "sys.exit(install.install('some.txt'))"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{SCRIPTS}", "PYTHONUNBUFFERED": "1"},
    )


def test_an_installation_says_that_it_begins_and_ends(tmp_path):
    done = run_install(tmp_path, 0)
    assert (done.returncode, done.stdout) == (0, "")
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("installing some.txt")
    assert last.startswith("installed some.txt in ")


def test_what_is_installed_is_compiled_but_for_its_tests(tmp_path):
    run_install(tmp_path, 0)
    (compiled,) = (tmp_path / "packages").rglob("*.pyc")
    assert compiled.name.startswith("a.")


def test_an_installation_that_takes_long_says_how_far_it_is(tmp_path):
    done = run_install(tmp_path, seconds=1)
    assert "s: installing 2 packages\n" in done.stderr


def test_an_installation_that_is_interrupted_says_nothing_more_and_ends(tmp_path):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text("print('Collecting a', flush=True)")
    program = (
        "import install\n"
        "def interrupt(text): raise KeyboardInterrupt\n"
        "install.STEP = type('Step', (), {'match': staticmethod(interrupt)})\n"
        "install.install('some.txt')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{SCRIPTS}"},
        timeout=20,
    )
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"


def test_an_installation_that_fails_says_what_pip_said(tmp_path):
    done = run_install(tmp_path, 1)
    assert done.returncode == 1
    assert "ERROR: no b\n" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("`make doctor` says what may be wrong")
