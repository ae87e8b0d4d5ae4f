"""What a slow job has done so far, kept in a file for its next attempt."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from epsigma.storage.files import damaged
from epsigma.storage.images import read_tensors, write_tensors

# Seconds of work that a kill may cost, beside the step that it strikes. A job that takes less
# keeps nothing.
INTERVAL = 10.0


class ProgressFile:
    """Keeps what a job has done in a file, and gives it back to the job's next attempt.

    A file whose metadata are not the key, or that is damaged, is removed. A job that is done within
    `INTERVAL` writes none. Whoever starts the job removes the file when the job is done.

    Args:
        path: of the file.
        key: makes the metadata that tell this job from others; called when they are needed.
        say: is given a sentence for the log.
    """

    def __init__(
        self, path: Path, key: Callable[[], dict[str, str]], say: Callable[[str], None]
    ) -> None:
        self._path, self._key, self.say = path, cache(key), say
        self._state = self._read() if path.exists() else {}
        self._written = time.monotonic()

    def run(self, name: str) -> "Progress":
        """Name one of the runs of slow functions that the job is made of."""
        return Progress(self, name)

    def restore(self, run: str) -> dict[str, Tensor]:
        """Give back the state of a run, on the CPU; {} if there is none."""
        prefix = f"{run}/"
        return {
            name.removeprefix(prefix): value
            for name, value in self._state.items()
            if name.startswith(prefix)
        }

    def keep(self, run: str, state: dict[str, Tensor]) -> None:
        """Keep the state of a run, in place of its last one; every `INTERVAL` in the file, too.

        Raises:
            OSError: if the file cannot be written.
        """
        self._state |= {f"{run}/{name}": value for name, value in state.items()}
        if time.monotonic() - self._written >= INTERVAL:
            write_tensors(self._path, self._state, self._key())
            self._written = time.monotonic()

    def _read(self) -> dict[str, Tensor]:
        try:
            with safe_open(self._path, framework="pt") as file:
                metadata = file.metadata() or {}
            if {**metadata, **self._key()} == metadata:
                return read_tensors(self._path, (), torch.device("cpu"))
            reason = "of another job, other code or other inputs"
        except (SafetensorError, OSError, ValueError) as error:
            reason = str(damaged(self._path, error))
        self._path.unlink(missing_ok=True)
        self.say(f"removed what an attempt before this one kept: {reason}")
        return {}


@dataclass(frozen=True)
class Progress:
    """What a slow function is given, to keep its state in and to go on from it."""

    _file: ProgressFile
    _run: str

    def restore(self) -> dict[str, Tensor]:
        """Give back the last state that another attempt has kept, on the CPU; {} if none has."""
        return self._file.restore(self._run)

    def keep(self, state: dict[str, Tensor]) -> None:
        """Keep a state from which the function can go on to the same result, to the bit."""
        self._file.keep(self._run, state)

    def say(self, sentence: str) -> None:
        """Put a sentence into the job's log."""
        self._file.say(sentence)


def digest_inputs(inputs: list[str], settings: Any) -> str:
    """Digest the contents of files, and of those that a job's settings name, in JSON."""
    named = sorted({*inputs, *_files_named(settings)})
    return json.dumps({path: _digest_file(path) for path in named})


def _digest_file(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_named(settings: Any) -> Iterator[str]:
    """Name the files in settings: checkpoints of autoencoders, thresholds of detectors."""
    if isinstance(settings, dict):
        for value in settings.values():
            yield from _files_named(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _files_named(value)
    elif isinstance(settings, str) and Path(settings).is_file():
        yield settings
