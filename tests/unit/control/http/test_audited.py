"""Every change over HTTP writes an audit entry: all routes are walked, so that none can be forgotten."""

import re
from pathlib import Path
from typing import Any

import pytest

from stead.control.http.api import ROUTES
from stead.control.http.audited import Audited
from stead.control.http.guards import ONLY_LOOKS
from stead.control.people.audit import Audit
from stead.protocol.errors import SteadError
from unit.control.face import Face, face

pytestmark = pytest.mark.anyio

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def changes() -> list[tuple[str, str, str]]:
    """Every operation that is not only reading: method, path with a placeholder, operation."""
    return [
        (method, re.sub(r"{[a-z_]+:str}", "x", next(iter(handler.paths))), handler.operation_id)
        for handler in ROUTES
        for method in handler.http_methods
        if method in UNSAFE and ONLY_LOOKS not in handler.opt
    ]


async def entries(it: Face, action: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await it.admin.get("/audit", params={"action": action})).json()["items"]
    return found


async def test_every_change_is_written_down_also_when_refused(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as nobody:
        walked = changes()
        assert len(walked) > 20
        for method, path, operation in walked:
            answer = await nobody.request(method, path)
            found = await entries(it, operation)
            assert len(found) == 1, f"{method} {path} wrote no entry"
            assert found[0]["outcome"] == answer.json()["error"]["code"]
            assert found[0]["actor"] == ""


async def test_who_what_and_how_it_ended(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        made = (await it.admin.post("/users", json={"name": "mia"})).json()["user"]
        entry = (await entries(it, "createUser"))[0]
        caller = await it.caller(it.secret)
        assert (entry["actor"], entry["via"]) == (it.user.id, f"token:{caller.credential_id}")
        assert (entry["subject"], entry["outcome"]) == (made["id"], "ok")
        await it.admin.post("/users", json={"name": "mia"})
        assert (await entries(it, "createUser"))[0]["outcome"] == "already_exists"


async def test_a_login_names_who_came_in(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client() as browser:
        await browser.post("/login", json={"code": await it.app.people.logins.issue(it.user.id)})
        entry = (await entries(it, "login"))[0]
        assert (entry["actor"], entry["outcome"]) == (it.user.id, "ok")
        assert entry["via"].startswith("session:se_")


async def test_files_and_execs_are_named_but_not_shown(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        await it.admin.put(f"/workspaces/{box}/files?path=a.txt", content=b"topsecret")
        written = (await entries(it, "writeFile"))[0]
        assert (written["subject"], written["details"]) == (box, {"path": "a.txt"})
        node.answers["exec.run"] = {"status": {"exec_id": "ex_1", "state": "exited", "exit_code": 0}}
        await it.admin.post(f"/workspaces/{box}/exec", json={"argv": ["login", "topsecret"]})
        assert (await entries(it, "runExec"))[0]["details"] == {"made": "ex_1"}
        assert "topsecret" not in (await it.admin.get("/audit?limit=500")).text


async def test_a_replayed_answer_is_no_second_change(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        for _ in range(3):
            await it.admin.post("/users", json={"name": "mia"}, headers={"Idempotency-Key": "k"})
        assert len(await entries(it, "createUser")) == 1


async def test_reading_writes_nothing(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        for path in ("/whoami", "/users", "/workspaces", "/nodes", "/health"):
            await it.admin.get(path)
        assert (await it.admin.get("/audit")).json()["items"] == []


class Away:
    """A database that does not answer."""

    async def write(self, *unit: Any) -> None:
        raise SteadError("database_unavailable", "away")


async def test_a_change_that_cannot_be_written_down_is_no_success() -> None:
    async def created(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"{}", "more_body": False})

    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    route = next(handler for handler in ROUTES if handler.operation_id == "createUser")
    scope = {"type": "http", "method": "POST", "query_string": b"", "route_handler": route, "path_params": {}}
    await Audited(created, Audit(Away()))(scope, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in told] == ["http.response.start", "http.response.body"]
    assert told[0]["status"] == 503
    assert b"database_unavailable" in told[1]["body"]
