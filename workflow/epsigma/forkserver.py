"""A fork server: stages run in processes of their own, and what they import is imported once.

Training imports Lightning and a figure matplotlib, which takes longer than many of them then work.
The server imports both while other jobs run, and forks for each stage. This module imports no more
than the standard library: the server is small until it is asked for.
"""

import atexit
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from epsigma.job import Job
from epsigma.loading import load

# The package is found as the workflow finds it, and so are the user's own modules.
_PROGRAM = (
    "import os, sys; sys.path[:0] = [sys.argv[1], os.getcwd()]; "
    "from epsigma.forkserver import serve; serve(sys.argv[2:])"
)

# What the process of a stage answers if it ended without an error.
_DONE = b"\0"
# Characters that an error's message keeps at its start, and at its end, which is its remedy.
_KEPT = 1000


class ForkServer:
    """A running server, as the process that started it sees it.

    It ends when this process does, however that ends, or when `close` is called.

    Args:
        modules: to import, in this order. Between two of them requests are served; one for a stage
            of a module that is not imported yet waits for that one.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = [*modules]
        self._control, control = socket.socketpair()
        package = str(Path(__file__).parents[1])
        command = [sys.executable, "-c", _PROGRAM, package, *modules]
        with control:
            self._process = subprocess.Popen(command, stdin=control.fileno())
        atexit.register(self.close)

    def run(self, function: str, job: Job, files: Mapping[str, Any]) -> str:
        """Run a stage in a process of its own, to its end. Threads may call it at once.

        Args:
            function: `module:name` of a function of a `Job` and, by keyword, files.

        Returns:
            What it raised, in words, and the frames: nothing if it ended without an error.

        Raises:
            OSError: if the server is gone.
        """
        module = function.partition(":")[0]
        needed = self._modules.index(module) if module in self._modules else len(self._modules)
        connection, theirs = socket.socketpair()
        with connection:
            with theirs:
                socket.send_fds(self._control, [bytes([needed])], [theirs.fileno()])
            connection.sendall(json.dumps([function, asdict(job), files]).encode() + b"\n")
            answer = b""
            # The server may end, as by Ctrl-C, before it has taken the request.
            with suppress(ConnectionResetError), connection.makefile("rb") as stream:
                answer = stream.read()
        if not answer:
            return (
                f"the process of {function} was interrupted or killed; if nobody did that, perhaps "
                "for want of memory: run again with fewer --cores, or where there is more memory"
            )
        return "" if answer == _DONE else answer.decode(errors="replace")

    def close(self) -> None:
        """End the server, whatever it is importing; stages that it runs end soon after."""
        self._process.terminate()
        self._process.wait()
        self._control.close()


def serve(modules: Sequence[str]) -> None:
    """Import modules, and fork for each request, until the socket at standard input ends."""
    # The answer comes from what is forked; waiting for it counts its time as this process's.
    signal.signal(signal.SIGCHLD, _reap)
    os.dup2(2, 1)
    pending = list(modules)
    with socket.socket(fileno=0) as control, suppress(KeyboardInterrupt):
        while True:
            if pending and not select.select([control], [], [], 0)[0]:
                importlib.import_module(pending.pop(0))
                continue
            needed, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                return
            # Here, for all: each process that is forked before would import it by itself.
            if needed[0] < len(modules):
                importlib.import_module(modules[needed[0]])
            if os.fork() == 0:
                _answer(socket.socket(fileno=descriptors[0]))
            os.close(descriptors[0])


def _reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket) -> None:
    """Serve a request in the forked process, which ends here."""
    answer = _DONE
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
        with connection.makefile("rb") as stream:
            function, job, files = json.loads(stream.readline())
        load(function)(Job(**job), **files)
    except BaseException as error:
        # The job's log has the traceback.
        answer = _describe(error).encode(errors="replace")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Nobody listens any more if the run was killed.
        with suppress(OSError):
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
        os._exit(answer != _DONE)


def _describe(error: BaseException) -> str:
    """Say what was raised, and where: a line for each frame, as Snakemake writes them."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted: run again to go on"
    frames: list[traceback.FrameSummary] = []
    cause: BaseException | None = error
    while cause:
        frames += traceback.extract_tb(cause.__traceback__)
        cause = cause.__cause__
    where = "".join(f'\n  File "{at.filename}", line {at.lineno}, in {at.name}' for at in frames)
    said = f"{type(error).__name__}: {error}"
    if len(said) > 2 * _KEPT:
        said = f"{said[:_KEPT]} … {said[-_KEPT:]}"
    return said + where


def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may be killed without a word."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
