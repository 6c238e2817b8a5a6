"""Idempotency-Keys: one effect, the same answer, also over a crash."""

from pathlib import Path

import anyio
import pytest

from stead.control.store import idempotency
from unit.control.face import Face, face

pytestmark = pytest.mark.anyio


def key(text: str = "one") -> dict[str, str]:
    return {"Idempotency-Key": text}


async def names(it: Face) -> list[str]:
    return [user["name"] for user in (await it.admin.get("/users")).json()["items"]]


async def test_the_same_request_again_gets_the_same_answer(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        first = await it.admin.post("/users", json={"name": "mia"}, headers=key())
        again = await it.admin.post("/users", json={"name": "mia"}, headers=key())
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.content == again.content
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]
        assert again.headers["etag"] == first.headers["etag"]
        assert await names(it) == ["admin", "mia"]


async def test_another_request_with_the_key_is_refused(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.admin.post("/users", json={"name": "mia"}, headers=key())
        for path, body in (("/users", {"name": "tom"}), ("/tokens", {"name": "mia"})):
            answer = await it.admin.post(path, json=body, headers=key())
            assert answer.json()["error"]["code"] == "key_reused"
        assert await names(it) == ["admin", "mia"]


async def test_keys_of_two_users_are_two(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client(await it.member()) as member:
        mine = await it.admin.post("/tokens", json={"name": "a"}, headers=key())
        theirs = await member.post("/tokens", json={"name": "a"}, headers=key())
        assert theirs.status_code == 201
        assert mine.json()["token"]["id"] != theirs.json()["token"]["id"]


async def test_a_token_with_fewer_rights_never_gets_what_another_was_answered(tmp_path: Path) -> None:
    async with face(tmp_path) as it, it.client(await it.token("workspace:read")) as narrow:
        made = await it.admin.post("/tokens", json={"name": "a"}, headers=key())
        again = await narrow.post("/tokens", json={"name": "a"}, headers=key())
        assert again.json()["error"]["code"] == "key_reused"
        assert made.json()["secret"] not in again.text


async def test_a_running_request_says_so(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node = await it.node()
        box = await it.workspace()
        node.hold = anyio.Event()
        node.answers["exec.run"] = {"status": {"exec_id": "e", "state": "exited", "exit_code": 0}}
        path, body = f"/workspaces/{box}/exec", {"argv": ["true"]}
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await it.admin.post(path, json=body, headers=key())).status_code)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                while not node.calls:
                    await anyio.sleep(0.01)
                second = await it.admin.post(path, json=body, headers=key())
                assert second.json()["error"]["code"] == "in_progress"
                node.hold.set()
        assert statuses == [200]
        assert (await it.admin.post(path, json=body, headers=key())).json()["exec_id"] == "e"
        assert len(node.calls) == 1


async def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        refused = await it.admin.post("/workspaces", json={"name": "box"}, headers=key())
        assert refused.json()["error"]["code"] == "no_node"
        await it.node()
        assert (await it.admin.post("/workspaces", json={"name": "box"}, headers=key())).status_code == 201


@pytest.mark.parametrize("body", [{"name": "box", "cpus": -1}, {"name": 7}, {"name": "box", "driver": "none"}])
async def test_a_request_that_failed_before_its_effect_leaves_its_key_free(tmp_path: Path, body: object) -> None:
    async with face(tmp_path) as it:
        await it.node()
        codes = [
            (await it.admin.post("/workspaces", json=body, headers=key())).json()["error"]["code"] for _ in range(2)
        ]
        assert set(codes) <= {"invalid", "no_node"}
        assert (await it.admin.post("/workspaces", json={"name": "box"}, headers=key())).status_code == 201
        written = (await it.admin.get("/audit", params={"action": "createWorkspace"})).json()["items"]
        assert [entry["outcome"] for entry in written] == ["ok", *codes]


async def test_an_order_is_given_once_and_answered_again(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        box = await it.workspace()
        first = await it.admin.post(f"/workspaces/{box}/restart", headers=key())
        again = await it.admin.post(f"/workspaces/{box}/restart", headers=key())
        assert (first.status_code, first.content) == (202, again.content)
        assert again.headers["idempotency-replayed"] == "true"
        other = await it.admin.post(f"/workspaces/{box}/stop", headers=key())
        assert other.json()["error"]["code"] == "key_reused"
        assert (await it.admin.get(f"/workspaces/{box}")).json()["generation"] == first.json()["generation"]
        written = (await it.admin.get("/audit", params={"subject": box})).json()["items"]
        assert [entry["action"] for entry in written].count("restartWorkspace") == 1


async def test_two_at_once_have_one_effect(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.node()
        statuses: list[int] = []

        async def ask() -> None:
            answer = await it.admin.post("/workspaces", json={}, headers=key())
            statuses.append(answer.status_code)

        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(ask)
        assert set(statuses) <= {201, 409}
        assert 201 in statuses
        assert len((await it.admin.get("/workspaces")).json()["items"]) == 1


async def test_answers_outlive_the_server_and_are_sealed(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        first = await it.admin.post("/tokens", json={"name": "ci"}, headers=key("some-long-key"))
        secret = it.secret
    stored = b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir() if file.is_file())
    assert first.json()["secret"].encode() not in stored
    async with face(tmp_path) as it, it.client(secret) as client:
        again = await client.post("/tokens", json={"name": "ci"}, headers=key("some-long-key"))
        assert again.content == first.content


async def test_a_key_whose_server_died_can_be_tried_again(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.admin.post("/users", json={"name": "mia"}, headers=key())
        store = it.app.services.store
        row = await store.read(lambda conn: conn.exec_driver_sql("SELECT user_id, key FROM idempotency").one())
        await store.write(
            lambda conn: conn.exec_driver_sql("UPDATE idempotency SET state = 'another life'").rowcount and None
        )
        again = await it.admin.post("/users", json={"name": "mia"}, headers=key())
        assert again.json()["error"]["code"] == "already_exists"
        await store.write(idempotency.release, row.user_id, row.key)


@pytest.mark.parametrize("bad", ["x" * 201, "tab\there"])
async def test_bad_keys(tmp_path: Path, bad: str) -> None:
    async with face(tmp_path) as it:
        answer = await it.admin.post("/users", json={"name": "mia"}, headers=key(bad))
        assert answer.json()["error"]["code"] == "invalid"
        assert await names(it) == ["admin"]


async def test_old_answers_are_forgotten(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        await it.admin.post("/users", json={"name": "mia"}, headers=key())
        assert await it.app.services.store.write(idempotency.remove_before, 1e12) == 1
        again = await it.admin.post("/users", json={"name": "mia"}, headers=key())
        assert again.json()["error"]["code"] == "already_exists"
