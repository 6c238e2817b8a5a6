"""Takes the pictures of docs/images from a real server in a real Chromium (needs `PYTHONPATH=tests`)."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from stead.testing.server import Server
from support.browser import FLAGS, login_link
from support.engines import chromium

IMAGES = Path(__file__).parent.parent / "docs" / "images"
COMMAND = "git --version; for n in 1 2 3; do echo test $n passed; sleep 0.2; done; uname -sr"


def main() -> None:
    """Some workspaces, one command, two pictures."""
    with tempfile.TemporaryDirectory(prefix="stead-picture-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            for name in ("billing-fix", "docs", "search-index"):
                server.run("ws", "create", name, "--label", f"team={name.split('-')[0]}")
            server.run("ws", "stop", "docs")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
                page = browser.new_page(viewport={"width": 1200, "height": 640}, device_scale_factor=1.5)
                page.goto(login_link(server.run("user", "login", "admin").stdout))
                take(page, server.url)
                browser.close()
        finally:
            server.stop()


def take(page: Page, url: str) -> None:
    """The list, and one workspace with a command that ran."""
    IMAGES.mkdir(exist_ok=True)
    page.get_by_role("link", name="billing-fix").wait_for()
    page.screenshot(path=IMAGES / "workspaces.png")
    page.goto(f"{url}/workspaces/billing-fix")
    page.get_by_label("Command", exact=True).fill(COMMAND)
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Output").get_by_text("Exit 0", exact=True).wait_for()
    page.screenshot(path=IMAGES / "workspace.png")


if __name__ == "__main__":
    main()
