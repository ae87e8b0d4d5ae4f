"""A job: the identity of what it makes, its settings, and its log."""

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epsigma.gpus import lending_gpu
from epsigma.storage.provenance import record


@dataclass(frozen=True)
class Job:
    """What a stage is told beside the files it reads and writes.

    Args:
        cell: the wildcards: what is being made.
        settings: the stage's part of the configuration.
        code: digest of the stage's code.
        device: `auto`, `cpu` or `cuda`.
        log: path of the job's log file.
        memory_mb: MB that a batch may take, and what is made of it; None for what
            `epsigma.memory` thinks right.
        batch_size: images of a batch; None for as many as fit.
        continues: whether its log goes on from that of another job.
    """

    cell: dict[str, str]
    settings: dict[str, Any]
    code: str
    device: str
    log: str
    memory_mb: int | None = None
    batch_size: int | None = None
    continues: bool = False

    @property
    def metadata(self) -> dict[str, str]:
        """The provenance that goes into the files that the job writes."""
        return record(self.cell, self.settings, self.code)

    @contextmanager
    def logged(self) -> Iterator[logging.Logger]:
        """Give the body a logger that writes to the job's log file only, errors of the body too.

        The body is what has a GPU, if it asks for one (`epsigma.device`).
        """
        path = Path(self.log)
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = "a" if self.continues else "w"
        with path.open(mode, encoding="utf-8") as stream, lending_gpu():
            # Not registered with the logging module: it goes away with the job.
            logger = logging.Logger(self.log)
            handler = logging.StreamHandler(stream)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            logger.addHandler(handler)
            started = time.perf_counter()
            logger.info("%s", self.cell)
            logger.info("settings %s", self.settings)
            try:
                yield logger
            except BaseException:
                logger.error("failed\n%s", traceback.format_exc())
                raise
            logger.info("done in %.3f s", time.perf_counter() - started)
