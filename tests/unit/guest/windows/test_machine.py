"""The ten methods as the guest for Windows answers them, over lines, with the files and commands of the system that tests."""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.guest.configuration import Configuration, Security
from stead.guest.windows.guest import Guest
from stead.guest.windows.machine import Machine
from stead.guest.windows.serving import serve
from stead.guest.windows.tree import Tree
from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.toolbox.contract import Exec
from support.deadline import PATIENCE, eventually, eventually_async
from support.posix import Posix

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="facts are those of Linux")]


class Plug:
    """One end of a socket pair as a port; whoever holds the other end is there until it is closed."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        self._there = True

    async def present(self) -> bool:
        return self._there

    async def read(self, limit: int) -> bytes:
        try:
            return await self._stream.receive(limit)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self._there = False
            return b""

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send(data)
        except anyio.BrokenResourceError:
            raise SteadError("unavailable", "nobody is there") from None

    async def close(self) -> None:
        await self._stream.aclose()


class Host:
    """The other side of the port."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def line(self) -> Any:
        import json

        with anyio.fail_after(PATIENCE):
            while b"\n" not in self._buffer.lstrip(b"\n"):
                self._buffer += await self.stream.receive()
        line, _, self._buffer = self._buffer.lstrip(b"\n").partition(b"\n")
        return json.loads(line)

    async def ask(self, method: str, **params: object) -> Any:
        import json

        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        await self.stream.send(json.dumps(request).encode() + b"\n")
        answer = await self.line()
        return answer.get("result", answer.get("error"))


@asynccontextmanager
async def _served(
    place: Path, configuration: Configuration | None = None, *, powerful: bool = False
) -> AsyncIterator[Host]:
    guest = Guest(Posix(place), configuration or Configuration(), powerful=powerful)
    ours, theirs = socket.socketpair()
    plug = Plug(await anyio.abc.SocketStream.from_socket(theirs))

    async def opened() -> Plug:
        return plug

    async with anyio.create_task_group() as group, await anyio.abc.SocketStream.from_socket(ours) as stream:
        group.start_soon(serve, opened, guest.rpc, 0.01)
        host = Host(stream)
        assert (await host.line())["method"] == "agent_ready"
        yield host
        group.cancel_scope.cancel()


async def test_the_methods_of_the_guest_protocol(tmp_path: Path) -> None:
    async with _served(tmp_path) as host:
        assert (await host.ask("ping"))["pong"] is True
        info = await host.ask("get_agent_info")
        assert info["protocol_version"] == "1.0.0"
        assert "link.upgrade" not in info["capabilities"]
        assert (await host.ask("get_system_info"))["cpu_count"] > 0
        assert (await host.ask("get_network_info"))["interfaces"]
        assert (await host.ask("get_disk_usage"))["filesystems"]
        done = await host.ask("exec_command", command="sh", args=["-c", "echo out; echo err >&2; exit 3"])
        assert (done["exit_code"], done["stdout"], done["stderr"]) == (3, "out\n", "err\n")
        assert (await host.ask("exec_command", command="sh", args=["-c", "kill -9 $$"]))["exit_code"] == -1
        assert (await host.ask("exec_command", command="echo", args=["x"], capture_output=False))["stdout"] == ""
        assert (await host.ask("exec_command", command="pwd", working_directory="/"))["stdout"] == "/\n"
        path = f"{tmp_path}/a/b"
        written = await host.ask("file_write", path=path, content="aGk=", encoding="base64", create_dirs=True)
        assert written == {"bytes_written": 2, "path": path}
        assert await host.ask("file_read", path=path) == {"content": "hi", "size_bytes": 2, "encoding": "utf8"}
        assert (await host.ask("file_read", path=path, encoding="base64"))["content"] == "aGk="


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("exec_command", {"command": "no-such-program"}, wire.COMMAND_FAILED),
        ("exec_command", {"command": "sleep", "args": ["60"], "timeout_seconds": 0.1}, wire.TIMED_OUT),
        ("exec_command", {"command": "true", "timeout_seconds": 1e9}, wire.INVALID_PARAMS),
        ("exec_command", {"command": "true", "working_directory": "/no/place"}, wire.COMMAND_FAILED),
        ("exec_command", {}, wire.INVALID_PARAMS),
        ("exec_command", {"command": "true", "more": 1}, wire.INVALID_PARAMS),
        ("file_read", {"path": "/no/file"}, wire.NOT_FOUND),
        ("file_read", {"path": "relative"}, wire.INVALID_PARAMS),
        ("file_read", {"path": "/x", "encoding": "latin1"}, wire.INVALID_PARAMS),
        ("file_write", {"path": "/x", "content": "!", "encoding": "base64"}, wire.INVALID_PARAMS),
        ("file_write", {"path": "/x", "content": "", "permissions": "9"}, wire.INVALID_PARAMS),
        ("power_off", {}, wire.METHOD_NOT_FOUND),
        ("link.upgrade", {}, wire.METHOD_NOT_FOUND),
        ("shutdown", {}, wire.PERMISSION_DENIED),
        ("reboot", {"force": True}, wire.PERMISSION_DENIED),
        ("shutdown", {"timeout_seconds": "soon"}, wire.INVALID_PARAMS),
        ("reboot", {"delay": 1}, wire.INVALID_PARAMS),
    ],
)
async def test_the_error_codes_of_the_guest_protocol(
    tmp_path: Path, method: str, params: dict[str, object], code: int
) -> None:
    async with _served(tmp_path) as host:
        assert (await host.ask(method, **params))["code"] == code


async def test_power_has_the_protocols_defaults(tmp_path: Path) -> None:
    platform = Posix(tmp_path)
    methods = Guest(platform, Configuration(), powerful=True).rpc()
    for line in (
        b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}',
        b'{"jsonrpc":"2.0","id":1,"method":"reboot","params":{"force":true,"timeout_seconds":1.5}}',
    ):
        assert b'"initiated":true' in (await methods.answer(line) or b"")
    assert b"-32602" in (
        await methods.answer(b'{"jsonrpc":"2.0","id":1,"method":"shutdown","params":{"timeout_seconds":-1}}') or b""
    )
    assert platform.changes == [("shutdown", 60.0, False), ("reboot", 1.5, True)]


async def test_over_its_time_the_whole_tree_ends_and_blocks_nothing(tmp_path: Path) -> None:
    async with _served(tmp_path) as host:
        line = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
        failed = await host.ask("exec_command", command="sh", args=["-c", line], timeout_seconds=1)
        assert failed["code"] == wire.TIMED_OUT
        pid = int((tmp_path / "pid").read_text())
        eventually(lambda: not _runs(pid), "the child is gone")
        left = await host.ask("exec_command", command="sh", args=["-c", "sleep 5 & echo there"])
        assert left["stdout"] == "there\n"


class Slow(Posix):
    """Takes its time to start a command."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.pids: list[int] = []
        self.go = threading.Event()

    def start(self, argv: list[str], cwd: str, environment: dict[str, str]) -> Tree:
        tree = super().start(argv, cwd, environment)
        self.pids.append(tree._process.pid)
        self.go.wait(PATIENCE)
        return tree


async def test_who_goes_while_a_command_is_being_started_ends_it(tmp_path: Path) -> None:
    platform = Slow(tmp_path)
    machine = Machine(platform)
    with anyio.fail_after(PATIENCE):
        task = asyncio.ensure_future(machine.run(Exec(argv=["sleep", "600"], timeout=600, log_bytes=1)))
        while not platform.pids:
            await anyio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert _runs(platform.pids[0])
        platform.go.set()
        await eventually_async(lambda: not _runs(platform.pids[0]), "the command is gone")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


async def test_output_that_does_not_fit_a_line_is_cut_and_told(tmp_path: Path) -> None:
    async with _served(tmp_path) as host:
        done = await host.ask("exec_command", command="head", args=["-c", "3000000", "/dev/zero"])
        assert done["truncated"] is True
        assert 0 < len(done["stdout"]) < wire.LINE_BYTES
        (tmp_path / "big").write_bytes(bytes(90_000))
        assert (await host.ask("file_read", path=f"{tmp_path}/big"))["data"] == {"code": "too_large"}


async def test_the_policy_of_the_configuration_holds(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "f").write_text("inside")
    security = Security(
        allowed_read_paths=(f"{tmp_path}/in",),
        allowed_write_paths=(f"{tmp_path}/in/w",),
        command_whitelist=("echo",),
        max_file_size_mb=0.001,
        max_command_timeout_seconds=5,
    )
    async with _served(tmp_path, Configuration(security=security)) as host:
        assert (await host.ask("file_read", path=f"{tmp_path}/in/f"))["content"] == "inside"
        refused = {"code": "refused"}
        for path in ("out", "nothing", "inside", "in/../out"):
            assert (await host.ask("file_read", path=f"{tmp_path}/{path}"))["data"] == refused
        assert (await host.ask("file_write", path=f"{tmp_path}/in/f", content="x"))["data"] == refused
        assert (await host.ask("file_write", path=f"{tmp_path}/in/w/f", content="x", create_dirs=True))[
            "bytes_written"
        ] == 1
        large = await host.ask("file_write", path=f"{tmp_path}/in/w/f", content="x" * 2000)
        assert large["data"] == {"code": "too_large"}
        assert (await host.ask("exec_command", command="echo", args=["x"]))["stdout"] == "x\n"
        assert (await host.ask("exec_command", command="cat", timeout_seconds=1))["data"] == refused
        assert (await host.ask("exec_command", command="echo", timeout_seconds=6))["code"] == wire.INVALID_PARAMS
        assert not os.path.lexists(tmp_path / "out")
