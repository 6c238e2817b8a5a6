"""What tests in a real Chromium share: how it is started, and what pages complain about."""

import re
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page

PATIENCE_MS = 30_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LINK = re.compile(r"http://\S+/login#\S+")


class Complaints:
    """What pages wrote to the console as errors, and what they threw."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def hear(self, page: Page) -> Page:
        """Writes the page's errors down from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _just_stopped(message):
            self.said.append(f"{message.text} {message.location.get('url', '')}")


def _just_stopped(message: ConsoleMessage) -> bool:
    """Chromium logs every answer that is no success; the commands of a workspace that ends meanwhile are a proper 409."""
    return "status of 409" in message.text and message.location.get("url", "").endswith("/execs")


def login_link(text: str) -> str:
    """The first login link in what a program printed."""
    found = LINK.search(text)
    assert found is not None, f"no login link: {text}"
    return found[0]


def printed_link(log: Path) -> str:
    """The login link that `stead up` printed first."""
    return login_link(log.read_text())
