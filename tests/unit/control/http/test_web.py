"""The web app's files: caching, the page for every path, nothing outside the folder."""

from pathlib import Path

import httpx2
import pytest

from unit.control.face import ORIGIN, Face, face

pytestmark = pytest.mark.anyio


def page(it: Face) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=it.app.door), base_url=ORIGIN)  # type: ignore[arg-type]


def built(folder: Path) -> None:
    assets = folder / "web" / "assets"
    assets.mkdir(parents=True)
    (folder / "web" / "index.html").write_text("<!doctype html>the app")
    (assets / "app-1234.js").write_text("let a")
    (folder / "web" / "icon.svg").write_text("<svg/>")
    (folder / "secret.txt").write_text("secret")
    (folder / "web" / "leak.txt").symlink_to(folder / "secret.txt")


async def test_files_are_served_with_their_caching(tmp_path: Path) -> None:
    built(tmp_path)
    async with face(tmp_path) as it, page(it) as browser:
        script = await browser.get("/assets/app-1234.js")
        assert (script.text, script.headers["cache-control"]) == ("let a", "public, max-age=31536000, immutable")
        assert "javascript" in script.headers["content-type"]
        index = await browser.get("/")
        assert (index.text, index.headers["cache-control"]) == ("<!doctype html>the app", "no-cache")
        assert "script-src 'self'" in index.headers["content-security-policy"]
        again = await browser.get("/", headers={"If-None-Match": index.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        head = await browser.head("/icon.svg")
        assert (head.content, head.headers["content-length"]) == (b"", "6")


async def test_the_app_routes_its_own_paths(tmp_path: Path) -> None:
    built(tmp_path)
    async with face(tmp_path) as it, page(it) as browser:
        for path in ("/login", "/workspaces/ws_1", "/deep/er/path"):
            assert (await browser.get(path)).text == "<!doctype html>the app"
        for path in ("/assets/missing.js", "/favicon.ico"):
            assert (await browser.get(path)).status_code == 404


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/%2e%2e/secret.txt", "/leak.txt", "/assets/..%2f..%2fsecret.txt", "/a%00b.txt"]
)
async def test_nothing_outside_the_folder(tmp_path: Path, path: str) -> None:
    built(tmp_path)
    async with face(tmp_path) as it, page(it) as browser:
        answer = await browser.get(path)
        assert answer.text != "secret"
        assert answer.status_code in {200, 404}


async def test_a_new_build_is_seen(tmp_path: Path) -> None:
    built(tmp_path)
    async with face(tmp_path) as it, page(it) as browser:
        await browser.get("/")
        index = tmp_path / "web" / "new.html"
        index.write_text("another")
        index.rename(tmp_path / "web" / "index.html")
        assert (await browser.get("/")).text == "another"


async def test_without_a_build_the_page_says_how(tmp_path: Path) -> None:
    async with face(tmp_path) as it, page(it) as browser:
        answer = await browser.get("/login")
        assert answer.status_code == 200
        assert "make setup" in answer.text


async def test_pages_cannot_be_changed(tmp_path: Path) -> None:
    async with face(tmp_path) as it, page(it) as browser:
        assert (await browser.post("/login")).json()["error"]["code"] == "method_not_allowed"
