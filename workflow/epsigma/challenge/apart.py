"""A process of its own for a submitted filter, with limits."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from epsigma.challenge.child import ANSWER, REQUEST, TRIED
from epsigma.challenge.left import read_left
from epsigma.challenge.rules import Limits, SubmissionError
from epsigma.challenge.trial import MODULE

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from epsigma.challenge.child import main; main(sys.argv[2])"
)
# Seconds that a filter has to be imported and tried.
TRIAL_SECONDS = 120
# What a process prints as errors, and how many bytes of that are looked at if it fails.
PRINTED, _SHOWN = "stderr", 500
# Bytes that an answer has at most.
_ANSWERED = 100_000


def run_apart(submission: Path, name: str, folder: Path, here: Path, limits: Limits) -> bool:
    """Try a submitted filter, and score it, in a process of its own.

    The process gets a copy of the file, an environment without the user's variables, and no
    input. It may write in `here` only, where the system has Landlock (Linux 6.2).

    Args:
        submission: the file.
        name: of the filter.
        folder: of the challenge, which is read.
        here: an empty folder; what is made is in `scored` there.
        limits: for the process.

    Returns:
        Whether the process was kept from writing elsewhere.

    Raises:
        SubmissionError: if it took too long or too much memory, ended without an answer, or says
            what is wrong.
    """
    shutil.copyfile(submission, here / f"{MODULE}.py")
    request = {
        "name": name,
        "folder": str(folder.absolute()),
        "memory_mb": limits.memory_mb,
        # The study's own modules are found where this process finds them.
        "path": [os.path.abspath(entry) for entry in sys.path],
    }
    (here / REQUEST).write_text(json.dumps(request), encoding="utf-8")
    code = _run(here, limits.seconds)
    answer = _read_answer(here / ANSWER)
    if answer is None:
        raise SubmissionError(_explain(code, here, limits))
    if error := answer.get("error"):
        raise SubmissionError(_hint(str(error), limits))
    return bool(answer.get("confined"))


def _read_answer(path: Path) -> dict[str, Any] | None:
    """Read what a process answered; None if that is no answer."""
    try:
        answer = json.loads(read_left(path, _ANSWERED))
    except (OSError, ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _run(here: Path, seconds: int) -> int | None:
    """Run the process to its end, or end it and what it has started; None if it took too long."""
    package = str(Path(__file__).parents[2])
    command = [sys.executable, "-I", "-c", _PROGRAM, package, str(here)]
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
    environment = {**kept, "HOME": str(here), "TMPDIR": str(here), "PYTHONDONTWRITEBYTECODE": "1"}
    with (here / PRINTED).open("wb") as printed:
        process = subprocess.Popen(
            command,
            cwd=here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=printed,
            start_new_session=True,
        )
    first = min(TRIAL_SECONDS, seconds)
    try:
        for patience in (first, seconds - first):
            with suppress(subprocess.TimeoutExpired):
                return process.wait(patience)
            if not (here / TRIED).exists():
                return None
        return None
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all of its group, which it may have left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _explain(code: int | None, here: Path, limits: Limits) -> str:
    """Say of a process that left no answer why."""
    if code is None and not (here / TRIED).exists():
        seconds = min(TRIAL_SECONDS, limits.seconds)
        return f"it took more than {seconds:,} s for its trial, and was ended"
    if code is None:
        return f"it took more than {limits.seconds:,} s, and was ended"
    try:
        printed = read_left(here / PRINTED, _SHOWN, at_end=True)
    except OSError:
        printed = b""
    last = printed.decode(errors="replace").strip().rpartition("\n")[2]
    said = f": {last}" if last else ""
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return _hint(f"its process ended {how}, without an answer{said}", limits)


def _hint(error: str, limits: Limits) -> str:
    """Add, to what lack of memory says, how much there is; a terminal is not told what to do."""
    error = "".join(letter if letter.isprintable() else " " for letter in error)
    if "allocate" in error or "MemoryError" in error:
        return f"{error}; it may take {limits.memory_mb:,} MB"
    return error
