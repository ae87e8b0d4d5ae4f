"""A study that is run to its end once, and what becomes of a copy is up to each test."""

from pathlib import Path

import pytest
from running import Workdir, made_once
from striking import EXTENDED, HALTING, STUDY, TABLES


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """The study, run to its end; not to be changed."""

    def finish(made: Workdir) -> None:
        (made.directory / "halting.py").write_text(HALTING, encoding="utf-8")
        made.run(*TABLES)

    return made_once(tmp_path_factory.getbasetemp(), "undisturbed", STUDY, finish)


@pytest.fixture
def finished(undisturbed: Workdir, tmp_path: Path) -> Workdir:
    """A copy of it, to be changed."""
    return undisturbed.copy(tmp_path / "finished")


@pytest.fixture(scope="session")
def extended(undisturbed: Workdir, tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """The study with another σ, run to its end; not to be changed."""
    made = undisturbed.copy(tmp_path_factory.mktemp("extended") / "epsigma")
    made.configure(EXTENDED)
    made.run(*TABLES)
    return made
