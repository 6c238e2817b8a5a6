"""The operations of the toolbox over HTTP, through the relay to a node."""

import json
from pathlib import Path

import msgspec
import pytest

from stead.api.toolbox import declared
from stead.control.http import generate
from stead.protocol.errors import SteadError
from stead.protocol.methods import CALLS
from support.deadline import PATIENCE
from unit.control.face import face
from unit.control.http.test_routes import is_error

pytestmark = pytest.mark.anyio


def test_every_call_of_an_area_has_a_route() -> None:
    apart = {"workspace", "files", "exec"}
    assert set(declared().operations) == {name for name in CALLS if name.partition(".")[0] not in apart}


def test_each_is_described_with_its_own_schemas() -> None:
    document = json.loads(generate.description())
    commit = document["paths"]["/api/v1/workspaces/{workspace}/toolbox/git.commit"]["post"]
    assert commit["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/git.MakeCommit")
    assert commit["requestBody"]["required"] is True
    assert "`workspace:exec`" in commit["description"]
    assert document["components"]["schemas"]["git.MakeCommit"]["additionalProperties"] is False
    assert document["components"]["schemas"]["git.MakeCommit"]["required"] == ["message"]
    told = [document["components"]["schemas"][each.params] for each in declared().operations.values()]
    assert all(schema["type"] == "object" for schema in told)


async def test_params_go_in_as_they_are_and_the_result_comes_out(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = f"/workspaces/{await it.workspace()}/toolbox"
        node.answers["git.push"] = {"anything": [1, None, "é"]}
        answer = await it.admin.post(f"{box}/git.push", json={"remote": "origin", "of a newer version": {"a": 1}})
        assert (answer.status_code, answer.json()) == (200, {"anything": [1, None, "é"]})
        assert msgspec.json.decode(node.calls[-1].params) == {"remote": "origin", "of a newer version": {"a": 1}}
        assert declared().operations["git.push"].seconds == 3600.0
        assert 3600.0 - PATIENCE < node.calls[-1].timeout <= 3600.0
        assert (await it.admin.post(f"{box}/system.info")).status_code == 200
        assert bytes(node.calls[-1].params) == b"{}"
        node.answers["git.push"] = SteadError("push_rejected", "the hook says no")
        is_error(await it.admin.post(f"{box}/git.push", json={}), "push_rejected")


async def test_what_is_no_object_never_leaves_the_server(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        path = f"/workspaces/{await it.workspace()}/toolbox/system.info"
        for body in (b"{", b'{"a": 1}, "workspace_id": "x"', b'{"a": "\xff"}', b'{"a":' + b"[" * 50_000):
            is_error(await it.admin.post(path, content=body), "malformed")
        for body in (b"[]", b"1", b'"text"', b"null", b'{"a": 1e999}'):
            is_error(await it.admin.post(path, content=body), "invalid")
        is_error(await it.admin.post(path, content=b"x" * (3 << 20)), "too_large")
        assert node.calls == []


async def test_each_needs_its_right_and_what_changes_is_written_down(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client(await it.token("workspace:read")) as reader:
        node = await it.node()
        workspace = await it.workspace()
        box = f"/workspaces/{workspace}/toolbox"
        for name, right in CALLS.items():
            if name in declared().operations:
                answer = await reader.post(f"{box}/{name}", json={})
                assert answer.status_code == (200 if right == "workspace:read" else 403), name
        assert {call.method for call in node.calls} == {
            name for name in declared().operations if CALLS[name] == "workspace:read"
        }
        is_error(await it.admin.post(f"{box}/git.nothing", json={}), "not_found")
        is_error(await it.admin.get(f"{box}/git.status"), "method_not_allowed")
        await it.admin.post(f"{box}/text.write", json={"path": "a", "content": "topsecret"})
        for action, outcomes in {"text.write": ["ok", "forbidden"], "text.read": []}.items():
            found = (await it.admin.get("/audit", params={"action": action})).json()["items"]
            assert [(each["subject"], each["outcome"]) for each in found] == [(workspace, end) for end in outcomes]
        assert "topsecret" not in (await it.admin.get("/audit?limit=500")).text


async def test_other_peoples_workspaces_do_not_exist(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client(await it.member()) as member:
        await it.node()
        box = f"/workspaces/{await it.workspace()}"
        for name in ("toolbox/git.status", "toolbox/git.commit"):
            is_error(await member.post(f"{box}/{name}", json={"message": "x"}), "not_found")
        for name in ("watch", "log?path=x"):
            is_error(await member.get(f"{box}/{name}"), "not_found")


async def test_the_same_key_is_one_effect(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        path = f"/workspaces/{await it.workspace()}/toolbox/git.commit"
        key = {"Idempotency-Key": "k"}
        first = await it.admin.post(path, json={"message": "one"}, headers=key)
        second = await it.admin.post(path, json={"message": "one"}, headers=key)
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"
        assert len(node.calls) == 1
        is_error(await it.admin.post(path, json={"message": "two"}, headers=key), "key_reused")
