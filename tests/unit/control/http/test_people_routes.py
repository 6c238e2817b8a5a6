"""Login, logout, cookies, tokens, sessions over HTTP."""

from pathlib import Path

import anyio
import pytest

from unit.control.face import ORIGIN, face

pytestmark = pytest.mark.anyio


async def test_a_browser_logs_in_and_out(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as browser:
        code = await it.app.people.logins.issue(it.user.id)
        answer = await browser.post("/login", json={"code": code})
        assert answer.status_code == 200
        assert answer.json() == {"user": {**answer.json()["user"], "name": "admin"}, "secret": ""}
        cookie = answer.headers["set-cookie"]
        for part in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert part.lower() in cookie.lower()
        assert "secure" not in cookie.lower()
        assert (await browser.get("/whoami")).json()["via"] == "session"
        sessions = (await browser.get("/sessions")).json()["items"]
        assert [each["current"] for each in sessions] == [True]
        assert (await browser.post("/logout", headers={"Origin": ORIGIN})).status_code == 204
        browser.cookies.clear()
        browser.cookies.set("stead_session", cookie.split("=", 1)[1].split(";")[0])
        assert (await browser.get("/whoami")).status_code == 401


async def test_the_cookie_is_for_https_only_behind_a_proxy(tmp_path: Path) -> None:
    async with face(tmp_path, behind_proxy=True) as it, it.client() as browser:
        code = await it.app.people.logins.issue(it.user.id)
        assert "secure" in (await browser.post("/login", json={"code": code})).headers["set-cookie"].lower()


async def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"session_seconds": 0.001}) as it, it.client() as browser:
        answer = await browser.post("/login", json={"code": await it.app.people.logins.issue(it.user.id)})
        cookie = answer.headers["set-cookie"].split(";")[0]
        await anyio.sleep(0.01)
        assert (await browser.get("/whoami", headers={"Cookie": cookie})).status_code == 401


async def test_a_change_with_a_session_needs_its_page(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as browser:
        code = await it.app.people.logins.issue(it.user.id)
        await browser.post("/login", json={"code": code})
        body = {"name": "mia"}
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            answer = await browser.post("/users", json=body, headers=headers)
            assert answer.json()["error"]["code"] == "origin_refused"
        assert (await browser.post("/users", json=body, headers={"Origin": ORIGIN})).status_code == 201


async def test_a_foreign_page_is_refused_even_with_a_token(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        answer = await it.admin.post("/users", json={"name": "mia"}, headers={"Origin": "http://evil.example"})
        assert answer.json()["error"]["code"] == "origin_refused"


async def test_a_login_can_give_a_token(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as nobody:
        code = await it.app.people.logins.issue(it.user.id)
        answer = await nobody.post("/login", json={"code": code, "token_name": "laptop"})
        assert "set-cookie" not in answer.headers
        async with it.client(answer.json()["secret"]) as laptop:
            assert (await laptop.get("/whoami")).json()["via"] == "token"
            assert (await laptop.post("/logout")).status_code == 204
            assert (await laptop.get("/whoami")).status_code == 401


async def test_logins_that_fail_are_counted(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"login_attempts": 3}) as it, it.client() as nobody:
        for _ in range(3):
            assert (await nobody.post("/login", json={"code": "wrong"})).status_code == 401
        limited = await nobody.post("/login", json={"code": "wrong"})
        assert limited.status_code == 429
        assert int(limited.headers["retry-after"]) > 0
        async with it.client("stead_wrong") as guesser:
            assert (await guesser.get("/whoami")).status_code == 429
        assert (await nobody.get("/health")).status_code == 200


async def test_bad_tokens_that_fail_are_counted_too(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"login_attempts": 2}) as it, it.client("stead_wrong") as guesser:
        answers = [(await guesser.get("/whoami")).status_code for _ in range(3)]
        assert answers == [401, 401, 429]
        assert (await it.admin.get("/whoami")).status_code == 200


async def test_a_user_has_a_rate(tmp_path: Path) -> None:
    async with face(tmp_path, limits={"requests_burst": 3, "requests_per_second": 1}) as it:
        answers = [(await it.admin.get("/whoami")).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429]


async def test_a_revoked_token_is_refused(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        made = (await it.admin.post("/tokens", json={"name": "ci"})).json()
        async with it.client(made["secret"]) as ci:
            assert (await ci.get("/whoami")).status_code == 200
            assert (await it.admin.delete(f"/tokens/{made['token']['id']}")).status_code == 204
            refused = await ci.get("/whoami")
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert made["secret"] not in (await it.admin.get("/tokens")).text


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer nonsense", "Basic YTpi", "Bearer stead_é", "x" * 5000])
async def test_strange_credentials(tmp_path: Path, header: str) -> None:
    async with face(tmp_path) as it, it.client() as nobody:
        answer = await nobody.get("/whoami", headers={"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401


@pytest.mark.parametrize("cookie", ["stead_session=x", "stead_session", "=;;stead_session=", 'stead_session="\\'])
async def test_strange_cookies(tmp_path: Path, cookie: str) -> None:
    async with face(tmp_path) as it, it.client() as nobody:
        assert (await nobody.get("/whoami", headers={"Cookie": cookie})).status_code == 401
