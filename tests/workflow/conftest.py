"""What the tests of whole runs share: folders in which nothing has run, or a study to its end."""

import os
from pathlib import Path

import pytest
from running import SMALL, Workdir, made_once, new_workdir


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    """A folder in which nothing has run yet."""
    return new_workdir(tmp_path / "epsigma", SMALL)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    return made_once(tmp_path_factory.getbasetemp(), "finished", SMALL, Workdir.run)


@pytest.fixture
def finished(finished_once: Workdir, tmp_path: Path) -> Workdir:
    """A folder in which the small study has run to its end; the test may change it."""
    return finished_once.copy(tmp_path / "finished")


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the real MNIST's IDX files."""
    folder = os.environ.get("EPSIGMA_MNIST")
    if not folder:
        pytest.skip("EPSIGMA_MNIST is not set to a folder of MNIST's IDX files")
    return Path(folder).resolve()
