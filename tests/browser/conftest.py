"""A Chromium, and the explorer of a small finished study in it."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from running import SMALL, Workdir, made_once

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # As root, as in CI, Chromium has no sandbox.
        made = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """The small study, to its end: the one of tests/workflow, made once for all."""
    return made_once(tmp_path_factory.getbasetemp(), "finished", SMALL, Workdir.run)
