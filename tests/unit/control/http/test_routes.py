"""The routes: shapes, versions, pages, errors, what each needs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stead.control.http import generate
from stead.control.http.api import ROUTES
from stead.control.http.guards import ANYONE, NEEDS, PUBLIC
from stead.protocol.errors import TABLE
from unit.control.face import face

pytestmark = pytest.mark.anyio


def is_error(answer: Any, code: str, status: int | None = None) -> None:
    assert answer.status_code == (status or TABLE[code].status), answer.text
    body = answer.json()
    assert set(body) == {"error", "request_id"}
    assert body["error"]["code"] == code
    assert body["error"]["hint"] == TABLE[code].hint
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_health_and_version_need_no_credential(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as nobody:
        assert (await nobody.get("/health")).json() == {"status": "ok", "database": "ok"}
        assert (await nobody.get("/version")).json()["api"] == "v1"
        assert (await nobody.get("/openapi.json")).json() == json.loads(generate.description())


async def test_a_starting_server_says_so(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as nobody:
        it.app.services.readiness.ready = False
        answer = await nobody.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "starting")


async def test_every_error_has_the_one_shape(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as nobody:
        is_error(await nobody.get("/whoami"), "unauthenticated")
        is_error(await it.admin.get("/nothing"), "not_found")
        refused = await it.admin.put("/workspaces/x")
        is_error(refused, "method_not_allowed")
        assert refused.headers["allow"] == "DELETE, GET, OPTIONS, PATCH"
        is_error(await it.admin.get("/workspaces/nobody"), "not_found")
        is_error(await it.admin.post("/users", content=b"{"), "malformed")
        is_error(await it.admin.post("/users", json={"name": "a", "more": 1}), "invalid")
        is_error(await it.admin.post("/users", json={"name": 5}), "invalid")
        is_error(await it.admin.get("/users?limit=501"), "invalid")
        is_error(await it.admin.get("/users?limit=x"), "invalid")
        is_error(await it.admin.post("/users", content=b"x" * (3 << 20)), "too_large")
        is_error(await it.admin.get("/health", headers={"x-large": "x" * 70_000}), "headers_too_large")


async def test_answers_carry_the_security_headers(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        headers = (await it.admin.get("/whoami")).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "strict-transport-security" not in headers
    async with face(tmp_path, behind_proxy=True) as it:
        assert "strict-transport-security" in (await it.admin.get("/whoami")).headers


def test_every_route_says_what_it_needs() -> None:
    known = {"workspace:read", "workspace:write", "workspace:exec", "account", "admin", ANYONE, PUBLIC}
    assert {handler.opt[NEEDS] for handler in ROUTES} <= known
    public = {handler.operation_id for handler in ROUTES if handler.opt[NEEDS] == PUBLIC}
    assert public == {"health", "version", "describeApi", "login", "enrolNode", "rotateNodeKey"}


def calls() -> list[tuple[str, str, str]]:
    """Every route with what it needs, as something to ask."""
    found = []
    for handler in ROUTES:
        path = re.sub(r"{[a-z_]+:str}", "x", next(iter(handler.paths)))
        found.append((next(iter(handler.http_methods)), path, handler.opt[NEEDS]))
    return found


async def test_no_route_without_a_credential_or_the_right(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as nobody, it.client(await it.member()) as member:
        rights = {"workspace:read", "workspace:write", "workspace:exec", "account", "admin"}
        narrow = {right: it.client(await it.token(*(rights - {right}))) for right in rights}
        for method, path, right in calls():
            if right == PUBLIC:
                continue
            is_error(await nobody.request(method, path), "unauthenticated")
            if right == ANYONE:
                continue
            is_error(await narrow[right].request(method, path), "forbidden")
            if right == "admin":
                is_error(await member.request(method, path), "forbidden")


async def test_etags_let_two_editors_meet(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        box = await it.workspace()
        read = await it.admin.get(f"/workspaces/{box}")
        etag = read.headers["etag"]
        change = {"labels": {"a": "b"}}
        first = await it.admin.patch(f"/workspaces/{box}", json=change, headers={"If-Match": etag})
        assert first.status_code == 200
        assert first.headers["etag"] != etag
        is_error(
            await it.admin.patch(f"/workspaces/{box}", json=change, headers={"If-Match": etag}), "precondition_failed"
        )
        is_error(
            await it.admin.patch(f"/workspaces/{box}", json=change, headers={"If-Match": "nonsense"}),
            "precondition_failed",
        )
        assert (await it.admin.patch(f"/workspaces/{box}", json=change)).status_code == 200


async def test_pages_hold_everything_once(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        for number in range(7):
            await it.admin.post("/users", json={"name": f"user{number}"})
        names: list[str] = []
        after = ""
        while True:
            page = (await it.admin.get("/users", params={"limit": 3, "after": after})).json()
            names += [user["name"] for user in page["items"]]
            if not (after := page["next"]):
                break
        assert names == ["admin", *(f"user{number}" for number in range(7))]


async def test_filters(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        for name, team in (("one", "a"), ("two", "b")):
            await it.admin.post("/workspaces", json={"name": name, "labels": {"team": team, "x": "y"}})
        found = (await it.admin.get("/workspaces?label=team=b&label=x=y")).json()["items"]
        assert [each["name"] for each in found] == ["two"]
        assert (await it.admin.get("/workspaces?name=one")).json()["items"][0]["name"] == "one"
        is_error(await it.admin.get("/workspaces?label=nonsense"), "invalid")
        assert (await it.admin.get("/nodes?status=online")).json()["items"][0]["name"] == "alpha"


async def test_other_peoples_workspaces_do_not_exist(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        box = await it.workspace()
        async with it.client(await it.member()) as member:
            assert (await member.get("/workspaces")).json()["items"] == []
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/start"),
                ("POST", "/stop"),
                ("POST", "/restart"),
                ("GET", "/events"),
                ("GET", "/execs"),
                ("GET", "/files?path=x"),
                ("PUT", "/files?path=x"),
                ("GET", "/files/list"),
            ):
                is_error(await member.request(method, f"/workspaces/{box}{path}"), "not_found")
            is_error(await member.post(f"/workspaces/{box}/exec", json={"argv": ["true"]}), "not_found")
            assert (await member.get("/commands")).json()["items"] == []
            assert box not in (await member.get("/events?limit=500")).text


async def test_a_workspace_from_birth_to_death(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        made = await it.admin.post("/workspaces", json={"name": "box"})
        assert made.status_code == 201
        assert made.headers["location"] == f"/api/v1/workspaces/{made.json()['id']}"
        for verb in ("stop", "start", "restart"):
            assert (await it.admin.post(f"/workspaces/box/{verb}")).status_code == 202
        assert (await it.admin.get("/workspaces/box/events")).json()["items"][0]["kind"] == "workspace.created"
        command = (await it.admin.get("/commands")).json()["items"][0]
        assert (await it.admin.get(f"/commands/{command['id']}")).json()["id"] == command["id"]
        assert (await it.admin.delete("/workspaces/box")).status_code == 202


async def test_nodes_can_be_looked_at_and_changed(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        etag = (await it.admin.get("/nodes/alpha")).headers["etag"]
        changed = await it.admin.patch("/nodes/alpha", json={"labels": {"zone": "a"}}, headers={"If-Match": etag})
        assert changed.json()["labels"]["zone"] == "a"
        assert (await it.admin.post("/nodes/alpha/drain")).json()["draining"] is True
        assert (await it.admin.post("/nodes/alpha/undrain")).json()["draining"] is False
        assert (await it.admin.post("/nodes/alpha/approve")).json()["approved"] is True
        token = await it.admin.post("/nodes/tokens", json={})
        assert token.status_code == 201
        is_error(await it.admin.post("/nodes/enrol", json={"token": "x", "name": "n", "public_key": "x"}), "invalid")
        assert (await it.admin.delete("/nodes/alpha?force=true")).status_code == 204
        is_error(await it.admin.get("/nodes/alpha"), "not_found")
