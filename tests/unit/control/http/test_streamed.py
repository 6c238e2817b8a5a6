"""Answers that flow: an exec's output as events, from any cursor, and their end when the credential ends."""

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.transport.streams import Stream
from unit.control.face import Face, WorkNode, face

pytestmark = pytest.mark.anyio


def record(data: bytes, channel: int = 1) -> bytes:
    return bytes([channel]) + len(data).to_bytes(4, "big") + data


class Execs(WorkNode):
    """A node whose execs have this output; a live one never ends."""

    log = record(b"one") + record(b"two", 2) + record(b"three")
    live = False

    async def _serve(self, stream: Stream, params: Any) -> None:
        await stream.send(self.log[params["cursor"] :])
        if self.live:
            await anyio.sleep_forever()
        await stream.end({"exec_id": params["exec_id"], "state": "exited", "exit_code": 0})


async def ready(it: Face) -> tuple[Execs, str]:
    node = await it.node()
    node.__class__ = Execs
    assert isinstance(node, Execs)
    return node, f"/workspaces/{await it.workspace()}/execs/ex_1/output"


def events(text: str) -> list[tuple[str, str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


async def test_output_comes_as_events_and_ends_with_the_status(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        _, path = await ready(it)
        answer = await it.admin.get(path)
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer.text)
        pieces = [(data["channel"], base64.b64decode(data["data"])) for kind, _, data in found if kind == "output"]
        assert pieces == [("stdout", b"one"), ("stderr", b"two"), ("stdout", b"three")]
        assert found[-1] == ("end", "26", {"exec_id": "ex_1", "state": "exited", "exit_code": 0})


async def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        _, path = await ready(it)
        first = events((await it.admin.get(path)).text)[0][1]
        assert first == "8"
        for answer in (
            await it.admin.get(path, params={"cursor": first}),
            await it.admin.get(path, headers={"Last-Event-ID": first}),
        ):
            assert base64.b64decode(events(answer.text)[0][2]["data"]) == b"two"


async def test_without_following_it_ends_where_the_output_is_now(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, path = await ready(it)
        node.live = True
        node.answers["exec.show"] = {"exec_id": "ex_1", "state": "running", "last_cursor": len(node.log)}
        with anyio.fail_after(30):
            found = events((await it.admin.get(path, params={"follow": "false"})).text)
        assert [kind for kind, _, _ in found] == ["output"] * 3


async def ask(it: Face, secret: str, path: str, got: list[Any], gone: anyio.Event) -> None:
    """One GET on bare ASGI, so that what flows is seen as it comes."""
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        got.append(message)

    headers = [(b"authorization", f"Bearer {secret}".encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": f"/api/v1{path}",
        "raw_path": f"/api/v1{path}".encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("stead.test", 80),
    }
    await it.app.door(scope, receive, send)


async def ends_when(it: Face, secret: str, path: str, how: Callable[[anyio.Event], Awaitable[None]]) -> list[Any]:
    got: list[Any] = []
    gone = anyio.Event()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, it, secret, path, got, gone)
            while len(got) < 2:
                await anyio.sleep(0.01)
            await how(gone)
    assert got[0]["status"] == 200
    return got


async def test_a_revoked_token_ends_what_flows(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, path = await ready(it)
        node.live = True
        secret = await it.token("*")

        async def revoke(gone: anyio.Event) -> None:
            caller = await it.caller(secret)
            await it.app.people.tokens.revoke(caller, caller.credential_id)

        got = await ends_when(it, secret, path, revoke)
        assert all(message.get("more_body", True) for message in got)


async def test_a_client_that_goes_ends_what_flows(tmp_path: Path) -> None:
    async with face(tmp_path) as it:
        node, path = await ready(it)
        node.live = True

        async def leave(gone: anyio.Event) -> None:
            gone.set()

        await ends_when(it, it.secret, path, leave)
        with anyio.fail_after(30):
            while len(node.ends):
                await anyio.sleep(0.01)
