"""Processes of their own, forked from one that has imported what they need."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from epsigma.forkserver import ForkServer

ROOT = Path(__file__).parents[2]
# Runs a request as `stage.py` does, but of this file's own kind.
SERVER = """
import json, os, sys
sys.path.insert(0, {package!r})
from epsigma.forkserver import serve

def run(request):
    if request["function"] == "raise":
        raise ValueError("no such thing")
    if request["function"] == "die":
        os.kill(os.getpid(), 9)
    if request["function"] == "exit":
        sys.exit(3)
    with open(request["path"], "w") as stream:
        json.dump([os.getpid(), os.getppid(), sorted(sys.modules)], stream)

serve(sys.argv[1], sys.argv[2:], run)
"""


@pytest.fixture
def start():
    """Start a server that imports modules; it is closed at the end."""
    servers = []

    def start(*modules):
        program = SERVER.format(package=str(ROOT / "workflow"))
        servers.append(ForkServer([sys.executable, "-c", program], modules))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(server, path):
    assert server.run({"function": "write", "path": str(path)})
    return json.loads(path.read_text())


def test_each_request_has_a_process_of_its_own_with_the_modules_imported(start, tmp_path):
    server = start("colorsys", "wave")
    until(lambda: {"colorsys", "wave"} <= set(ask(server, tmp_path / "0")[2]))
    one, other = (ask(server, tmp_path / name) for name in ("1", "2"))
    assert one[0] != other[0]
    assert one[1] == other[1] == server._process.pid


def test_a_request_does_not_wait_for_all_modules(start, tmp_path, monkeypatch):
    slow = [f"slow_{number}" for number in range(8)]
    for name in slow:
        (tmp_path / f"{name}.py").write_text("import time; time.sleep(0.5)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = start(*slow)
    assert slow[-1] not in ask(server, tmp_path / "early")[2]
    until(lambda: slow[-1] in ask(server, tmp_path / "late")[2])


@pytest.mark.parametrize("fault", ["raise", "die", "exit"])
def test_a_stage_that_fails_is_told_from_one_that_ends_and_leaves_the_server(
    start, tmp_path, fault, capfd
):
    server = start()
    assert not server.run({"function": fault})
    ask(server, tmp_path / "after")
    if fault == "raise":
        assert "ValueError: no such thing" in capfd.readouterr().err


def test_a_server_ends_with_the_process_that_started_it(tmp_path):
    program = SERVER.format(package=str(ROOT / "workflow"))
    starter = f"""
import sys, time
sys.path.insert(0, {str(ROOT / "workflow")!r})
from epsigma.forkserver import ForkServer
server = ForkServer([sys.executable, "-c", {program!r}], [])
print(server._process.pid, server._path, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    pid, path = process.stdout.readline().split()
    assert Path(path).exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until(lambda: not Path(path).parent.exists())
    until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_server_that_is_gone_is_an_error(start):
    server = start()
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    with pytest.raises(ConnectionRefusedError):
        server.run({"function": "write", "path": "nowhere"})
