"""Processes of their own, forked from one that has imported what they need."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from epsigma.forkserver import ForkServer
from epsigma.job import Job

ROOT = Path(__file__).parents[2]
JOB = Job({"dataset": "digits"}, {"a": [1, None]}, "0" * 16, "cpu", "a.log")
# Stages of the user's own, in the working directory.
STAGES = """
import json, os, sys

def write(job, *, path, after=None):
    if after:
        open(f"{path} begun", "w").close()
        while not os.path.exists(after):
            pass
    with open(path, "w") as stream:
        json.dump([os.getpid(), os.getppid(), sorted(sys.modules), vars(job)], stream)

def fail(job):
    raise ValueError("no such thing")

def fail_at_length(job):
    raise ValueError("no such thing " * 1000 + "the remedy")

def fail_for_cause(job):
    try:
        fail(job)
    except ValueError as error:
        raise KeyError("missing") from error

def die(job):
    os.kill(os.getpid(), 9)

def be_interrupted(job):
    raise KeyboardInterrupt

def leave(job):
    sys.exit(3)
"""
# A stage that says which process imported it.
COUNTED = """
IMPORTED_BY = os.getpid()

def tell(job, *, path):
    write(job, path=path)
    with open(f"{path} by", "w") as stream:
        stream.write(str(IMPORTED_BY))
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own_stages.py").write_text(STAGES)


@pytest.fixture
def start():
    """Start a server that imports modules; it is closed at the end."""
    servers = []

    def start(*modules):
        servers.append(ForkServer(modules))
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
    assert not server.run("own_stages:write", JOB, {"path": str(path)})
    return json.loads(Path(path).read_text())


def test_each_request_has_a_process_of_its_own_with_the_modules_imported(start):
    server = start("colorsys", "wave")
    until(lambda: {"colorsys", "wave"} <= set(ask(server, "0")[2]))
    one, other = (ask(server, name) for name in ("1", "2"))
    assert one[0] != other[0]
    assert one[1] == other[1] == server._process.pid
    assert one[3] == vars(JOB)


def test_a_request_does_not_wait_for_all_modules(start):
    slow = [f"slow_{number}" for number in range(8)]
    for name in slow:
        Path(f"{name}.py").write_text("import time; time.sleep(0.5)")
    server = start(*slow)
    assert slow[-1] not in ask(server, "early")[2]
    until(lambda: slow[-1] in ask(server, "late")[2])


def test_a_request_waits_for_the_module_of_its_stage_which_the_server_imports(start):
    Path("slow.py").write_text("import time; time.sleep(2)")
    Path("counted.py").write_text(STAGES + COUNTED)
    server = start("counted", "slow")
    assert not server.run("counted:tell", JOB, {"path": "told"})
    assert int(Path("told by").read_text()) == server._process.pid
    assert "slow" not in json.loads(Path("told").read_text())[2]


def test_requests_of_several_threads_are_served_at_once_and_none_is_mistaken_for_failed(start):
    server, ended = start(), []

    def work(number):
        # It ends when its neighbour has begun.
        files = {"path": str(number), "after": f"{number ^ 1} begun"}
        ended.append(server.run("own_stages:write", JOB, files))
        for _ in range(20):
            ended.append(server.run("own_stages:write", JOB, {"path": str(number)}))

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [""] * 84


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("fail", r'ValueError: no such thing\n  File .*own_stages\.py", line \d+, in fail'),
        (
            "fail_at_length",
            r"ValueError: (no such thing )+.*( no such thing)+ the remedy\n  File .*",
        ),
        # Where the cause is, which is nearer to the fault, comes last.
        ("fail_for_cause", r'KeyError: \'missing\'\n.*in fail_for_cause\n.*", line \d+, in fail'),
        (
            "die",
            "the process of own_stages:die was interrupted or killed; if nobody did that, perhaps "
            "for want of memory: run again with fewer --cores, or where there is more memory",
        ),
        ("be_interrupted", "interrupted: run again to go on"),
        ("leave", r"SystemExit: 3\n  File .*"),
        ("nowhere", r"ImportError: own_stages has no 'nowhere'\n  File .*"),
    ],
)
def test_a_stage_that_fails_says_why_once_and_leaves_the_server(start, fault, said, capfd):
    server = start()
    answer = server.run(f"own_stages:{fault}", JOB, {})
    assert re.fullmatch(said, answer, re.DOTALL)
    assert len(answer) < 5000
    ask(server, "after")
    assert capfd.readouterr() == ("", "")


def test_a_server_ends_with_the_process_that_started_it_and_so_do_its_stages():
    starter = f"""
import sys
sys.path.insert(0, {str(ROOT / "workflow")!r})
from epsigma.forkserver import ForkServer
from epsigma.job import Job
server = ForkServer([])
print(server._process.pid, flush=True)
server.run("own_stages:write", Job({{}}, {{}}, "", "cpu", ""), dict(path="a", after="never"))
"""
    process = subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True)
    pid = process.stdout.readline().strip()
    until(lambda: Path("a begun").exists())
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for one in (pid, *children):
        until(lambda one=one: _is_gone(one))


def _is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_request_that_an_interrupted_server_has_not_taken_says_so(start, capfd):
    Path("slow.py").write_text("import time\nopen('begun', 'w').close()\ntime.sleep(60)\n")
    # A background job's is ignored, which is inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    server = start("slow")
    signal.signal(signal.SIGINT, before)
    until(Path("begun").exists)
    answers = []
    asking = [server, "slow:nothing", JOB, {}]
    thread = threading.Thread(target=lambda: answers.append(ForkServer.run(*asking)))
    thread.start()
    time.sleep(0.2)
    server._process.send_signal(signal.SIGINT)
    thread.join(20)
    assert answers[0].startswith("the process of slow:nothing was interrupted or killed")
    # The server has no more to say of it.
    assert capfd.readouterr() == ("", "")


def test_a_server_that_is_gone_is_an_error(start):
    server = start()
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    with pytest.raises(ConnectionError):
        server.run("own_stages:write", JOB, {"path": "nowhere"})
