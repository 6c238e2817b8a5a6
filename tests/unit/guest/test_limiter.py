"""The limits of a configuration at every door: lines, the link, HTTP, a serial line; and none of them at a node's guest."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import httpx2
import msgspec
import pytest

from stead.guest.attendance import Attendance
from stead.guest.calls import Calls
from stead.guest.limiter import Limiter, Limits, within
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame, FrameKind
from stead.protocol.messages import StreamOpen
from stead.sdk.guest.lines import Lines
from stead.sdk.guest.link import GuestLink
from stead.testing.server import free_port
from stead.toolbox.local import opened
from stead.toolbox.scripted import Script, ScriptedToolbox
from support.deadline import PATIENCE, eventually
from support.guests import WORKSPACE, Client, GuestProcess

pytestmark = pytest.mark.anyio

SERVE = (sys.executable, "-P", "-m", "stead.guest", "serve")
TOKEN = "the-token-of-these-tests"
RARE = 0.05
"""Requests a second: one, and the next after 20 s."""


class Served(NamedTuple):
    """A guest with three doors: that of its run directory, HTTP, a serial line."""

    place: Path
    http: httpx2.Client
    line: int

    @property
    def socket(self) -> Path:
        return self.place / "run" / "guest.sock"

    def say(self, line: str) -> None:
        os.write(self.line, line.encode() + b"\n")

    def hear(self) -> tuple[str, Any]:
        """The next line of the serial line."""
        found = b""
        while not found.endswith(b"\n"):
            found += os.read(self.line, 1)
        kind, _, rest = found.strip().partition(b":")
        return kind.decode(), json.loads(rest)


@contextmanager
def _served(place: Path, **fields: Any) -> Iterator[Served]:
    (place / "token").write_text(TOKEN)
    config = {"run": str(place / "run"), "name": WORKSPACE, "security": None} | fields
    (place / "c.json").write_text(json.dumps(config))
    ours, theirs = os.openpty()
    port = free_port()
    argv = [*SERVE, "--config", str(place / "c.json"), "--token-file", str(place / "token")]
    process = subprocess.Popen([*argv, "--http", f"127.0.0.1:{port}", "--console", os.ttyname(theirs)])
    head = {"authorization": f"Bearer {TOKEN}"}
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=head, timeout=PATIENCE) as client:
            served = Served(place, client, ours)
            assert served.hear()[1]["method"] == "agent_ready"
            eventually(lambda: _listens(port), "the guest listens")
            yield served
    finally:
        process.terminate()
        process.wait(PATIENCE)
        os.close(ours)
        os.close(theirs)


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


async def _code(client: Client, method: str, **params: Any) -> tuple[str, dict[str, Any]]:
    with pytest.raises(SteadError) as caught:
        await client.ask(method, **params)
    return caught.value.code, caught.value.details


async def _refused(lines: Lines, method: str) -> str:
    with pytest.raises(SteadError) as caught:
        await lines.call(method, {})
    return caught.value.code


async def test_a_stream_and_a_line_are_requests_of_one_door(tmp_path: Path) -> None:
    with _served(tmp_path, max_concurrent_requests=1) as served, anyio.fail_after(PATIENCE):
        async with GuestProcess(tmp_path).linked() as link, Lines(served.socket) as lines:
            stream = await link.open(WORKSPACE, "exec", {"argv": ["sleep", "600"], "exec_id": ""})
            assert await _code(link, "files.stat", path=".") == ("too_many", {"retry_after": 1.0})
            another = StreamOpen(request_id="", stream_id="st_2", workspace_id=WORKSPACE, kind="watch")
            assert link.peer is not None
            with pytest.raises(SteadError, match="at most 1 requests at once"):
                await link.peer.request(another)
            assert await _refused(lines, "get_agent_info") == "too_many"
            assert (await lines.call("ping", {}))["pong"] is True
            assert served.http.get("/status").status_code == 200, "another door counts for itself"
            await link.ask("exec.kill", exec_id=stream.opened["exec_id"])
            while await stream.receive() is not None:
                pass
            await _until_free(link)
            assert "version" in await lines.call("get_agent_info", {})


async def test_a_stream_that_was_given_up_before_it_came_is_not_counted(tmp_path: Path) -> None:
    with _served(tmp_path, max_concurrent_requests=1), anyio.fail_after(PATIENCE):
        async with GuestProcess(tmp_path).linked() as link:
            assert link.peer is not None
            link.peer.post(Frame(FrameKind.RESET, "st_early", 0))
            with pytest.raises(SteadError) as caught:
                await link.peer.request(
                    StreamOpen(request_id="", stream_id="st_early", workspace_id=WORKSPACE, kind="watch")
                )
            assert caught.value.code == "cancelled"
            await link.ask("files.stat", path=".")


async def _until_free(link: Client) -> None:
    while True:
        try:
            await link.ask("files.stat", path=".")
            return
        except SteadError as error:
            assert error.code == "too_many"
            await anyio.sleep(0.01)


async def test_the_rate_is_that_of_all_channels_of_a_door(tmp_path: Path) -> None:
    with _served(tmp_path, max_requests_per_second=RARE) as served, anyio.fail_after(PATIENCE):
        async with GuestProcess(tmp_path).linked() as link, Lines(served.socket) as lines:
            await link.ask("files.stat", path=".")
            code, details = await _code(link, "files.stat", path=".")
            assert code == "rate_limited"
            assert 0 < details["retry_after"] <= 20
            with pytest.raises(SteadError, match="requests a second"):
                await link.open(WORKSPACE, "watch", {"path": "."})
            assert await _refused(lines, "get_agent_info") == "rate_limited"
            assert (await lines.call("ping", {}))["pong"] is True
            assert (await _code(link, "exec.kill", exec_id="ex_none"))[0] != "rate_limited"
            assert (await _code(link, "transfer.cancel", transfer="none"))[0] != "rate_limited"


def test_how_many_at_once_over_http(tmp_path: Path) -> None:
    with _served(tmp_path, max_concurrent_requests=1) as served:
        body = {"command": "sleep 600", "isBackground": True, "timeout": 600_000}
        command = served.http.post("/execute/command", json=body).json()["commandId"]
        with served.http.stream("GET", "/api/terminal/stream") as flowing:
            assert flowing.status_code == 200
            refused = served.http.get("/status")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert refused.json()["error"] == "TOO_MANY"
            assert served.http.put("/files/tmp/x", content=b"x").status_code == 429
            assert served.http.get("/health").status_code == 200
            assert served.http.delete(f"/api/commands/{command}").status_code == 200
            assert httpx2.get(f"{served.http.base_url}/status").status_code == 401
        eventually(lambda: served.http.get("/status").status_code == 200, "who has gone is not counted")


def test_how_often_over_http(tmp_path: Path) -> None:
    with _served(tmp_path, max_requests_per_second=RARE) as served:
        assert httpx2.get(f"{served.http.base_url}/status").status_code == 401, "who may not ask costs nothing"
        assert served.http.get("/status").status_code == 200
        refused = served.http.get("/status")
        assert (refused.status_code, refused.json()["error"]) == (429, "RATE_LIMITED")
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert served.http.get("/health").status_code == 200


def test_how_long_over_http(tmp_path: Path) -> None:
    with _served(tmp_path, request_timeout_seconds=0.2) as served:
        address = served.http.base_url.host, served.http.base_url.port
        with socket.create_connection(address, PATIENCE) as half:
            head = f"POST /api/files/read HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\n{{"
            half.sendall(head.encode())
            answer = half.recv(1 << 16)
            assert b" 504 " in answer.partition(b"\r\n")[0]
        slow = served.http.post("/execute/command", json={"argv": ["sleep", "0.5"]})
        assert slow.json()["exitCode"] == 0, "a command has its own limit"


def test_a_serial_line_counts_requests_and_commands(tmp_path: Path) -> None:
    ask = 'JSON:{"jsonrpc":"2.0","id":7,"method":"%s"}'
    with _served(tmp_path, max_concurrent_requests=1) as served:
        served.say("EXEC:echo begun; exec sleep 600")
        assert served.hear()[1]["data"] == "begun\n"
        served.say(ask % "get_agent_info")
        kind, told = served.hear()
        assert (kind, told["error"]["data"]["code"]) == ("JSON", "too_many")
        served.say("EXEC:echo two")
        kind, told = served.hear()
        assert (kind, told["error"]["code"]) == ("EXEC", "too_many")
        served.say(ask % "ping")
        assert served.hear()[1]["result"]["pong"] is True


async def test_the_client_comes_again_when_it_is_told_to(tmp_path: Path) -> None:
    with _served(tmp_path, max_concurrent_requests=2, max_requests_per_second=20) as served:
        async with GuestLink(served.socket) as link, anyio.create_task_group() as group:
            with anyio.fail_after(PATIENCE):
                for _ in range(8):
                    group.start_soon(link.toolbox.exec, ["sleep", "0.1"])
                for _ in range(30):
                    await link.toolbox.stat("/etc/hostname")


async def test_the_guest_of_a_node_is_not_limited_so(tmp_path: Path) -> None:
    with GuestProcess(tmp_path) as guest, anyio.fail_after(PATIENCE):
        async with guest.linked() as link:
            streams = [await link.open(WORKSPACE, "watch", {"path": "."}) for _ in range(20)]
            for _ in range(150):
                await link.ask("files.stat", path=".")
            for stream in streams:
                await stream.reset(SteadError("cancelled", "enough"))


async def test_calls_without_a_time_limit_of_their_own_have_the_configured_one(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()

    def make(*given: Any) -> ScriptedToolbox:
        return ScriptedToolbox(*given, Script(latency=PATIENCE))

    async with opened(tmp_path / "root", tmp_path / "run", make=make) as toolbox:
        calls = Calls(toolbox, Attendance(60, toolbox.show, toolbox.cancel))
        limiter = Limiter(Limits(seconds=0.05))
        with pytest.raises(SteadError) as caught:
            await calls.answer("files.stat", msgspec.json.encode({"path": "."}), 0.0, limiter)
        assert (caught.value.code, limiter.running) == ("timeout", 0)


async def test_what_is_within_its_time() -> None:
    async with within(0.0, "work"):
        await anyio.lowlevel.checkpoint()
    with pytest.raises(SteadError, match=r"work took longer than 0\.01 s"):
        async with within(0.01, "work"):
            await anyio.sleep_forever()


def test_a_limiter_lets_go_whatever_happens() -> None:
    limiter = Limiter(Limits(concurrent=1))
    with pytest.raises(KeyError), limiter.admitted():
        raise KeyError
    with limiter.admitted(), pytest.raises(SteadError, match="at once"), limiter.admitted():
        pass
    assert limiter.running == 0


def test_who_comes_a_moment_too_early_is_told_a_time_all_the_same() -> None:
    """None would say that it is of no use to come again."""
    now = 0.0
    limiter = Limiter(Limits(per_second=1.0), lambda: now)
    limiter.enter()
    now = 0.9999
    with pytest.raises(SteadError) as caught:
        limiter.enter()
    assert caught.value.details == {"retry_after": 0.001}
