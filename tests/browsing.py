"""Looking at a page as a user does: in a Chromium, driven by Playwright."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class Visit:
    """A page that is open, with all that it has asked for and complained of."""

    def __init__(
        self, browser: "Browser", path: Path, address: str = "", width: int = 1280
    ) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900})
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(path.as_uri() + address)
        self.page.wait_for_selector("#over-budget svg")

    def settle(self) -> None:
        """Wait until images and the address have followed what was clicked."""
        self.page.wait_for_selector("#main:not([aria-busy])")

    def text(self, selector: str) -> str:
        self.settle()
        return " ".join(self.page.inner_text(selector).split())
