"""A fork server: processes of their own for stages, with what they import imported once.

Training imports Lightning and a figure matplotlib, which takes longer than many of them then work.
A server imports both while other jobs run, and forks for each stage. Imports no more than the
standard library: what forks is small until it is asked for.
"""

import atexit
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# What a stage is run with: `function`, and its arguments.
Request = dict[str, Any]


class ForkServer:
    """A running server, as the process that started it sees it.

    It ends when this process does, however that ends, or when `close` is called.

    Args:
        command: that runs `serve` with the listener's path, and the modules, added.
        modules: to import, in this order; a request is served between two of them.
    """

    def __init__(self, command: Sequence[str], modules: Sequence[str]) -> None:
        self._path = Path(tempfile.mkdtemp(prefix="epsigma-")) / "socket"
        self._process = subprocess.Popen(
            [*command, str(self._path), *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        # The server says when it listens.
        assert self._process.stdout is not None
        self._process.stdout.read(1)
        atexit.register(self.close)

    def run(self, request: Request) -> bool:
        """Run a stage in a process of its own, to its end.

        Returns:
            Whether it ended without an error; what it raised is on standard error.

        Raises:
            OSError: if the server is gone.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            # Nothing comes from a process that was killed.
            return connection.recv(1) == b"\0"

    def close(self) -> None:
        """End the server, whatever it is importing; stages that it runs end soon after."""
        self._process.terminate()
        self._process.communicate()
        shutil.rmtree(self._path.parent, ignore_errors=True)


def serve(path: str, modules: Sequence[str], run: Callable[[Request], None]) -> None:
    """Import modules, and fork for each request, until standard input ends.

    Args:
        path: of the socket to listen at, in a folder of its own, which is removed at the end.
        modules: to import.
        run: what a forked process does with a request.
    """
    # The answer comes from what is forked; waiting for it counts its time as this process's.
    signal.signal(signal.SIGCHLD, _reap)
    pending = list(modules)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            os.write(1, b".")
            os.dup2(2, 1)
            watched: list[Any] = [listener, 0]
            while True:
                ready, _, _ = select.select(watched, [], [], 0 if pending else None)
                if 0 in ready:
                    break
                if listener in ready:
                    with listener.accept()[0] as connection:
                        if os.fork() == 0:
                            _answer(connection, run)
                elif pending:
                    importlib.import_module(pending.pop(0))
    except KeyboardInterrupt:
        pass
    finally:
        shutil.rmtree(Path(path).parent, ignore_errors=True)


def _reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket, run: Callable[[Request], None]) -> None:
    """Serve a request in the forked process, which ends here."""
    answer = b"\1"
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with connection.makefile("rb") as stream:
            run(json.loads(stream.readline()))
        answer = b"\0"
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(answer)
        os._exit(answer[0])
