"""A guest's ten methods as Python sees them, whatever speaks inside: our protocol, or qemu-ga through a bridge.

Contract: `GuestClient` is the face, `RpcGuest` the one over the guest protocol. `connect(where)` finds out who is there and
opens the right one. A command that fails is a result. `read` and `write` carry any content; what does not fit one line goes
over the framed link of the same socket.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio
import msgspec

from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.sdk.guest.greeting import decoded
from stead.sdk.guest.lines import ANSWER_SECONDS, Lines
from stead.sdk.guest.link import GuestLink
from stead.sdk.guest.qemu import QemuGuest, Session
from stead.sdk.guest.way import Way

T = TypeVar("T")

ONE_LINE = 40_000
"""Content up to this size goes as base64 in one line."""
FIRST_SECONDS = 5.0
"""How long a guest may take to say who it is."""
_PROBE = b'\n{"jsonrpc":"2.0","id":"who","method":"ping"}\n'


class GuestClient(Protocol):
    """What any guest can be asked."""

    speaks: str

    async def ping(self) -> float:
        """Seconds that the answer took."""

    async def call(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        """One request in the words of whoever is there."""

    async def info(self) -> wire.AgentInfo: ...
    async def system(self) -> wire.SystemInfo: ...
    async def network(self) -> wire.NetworkInfo: ...
    async def disks(self) -> wire.DiskUsage: ...
    async def exec(
        self, command: str, args: Sequence[str] = (), *, seconds: float = wire.EXEC_SECONDS, cwd: str | None = None
    ) -> wire.Executed: ...
    async def read(self, path: str) -> bytes: ...
    async def write(self, path: str, content: bytes, *, parents: bool = False, mode: int | None = None) -> int: ...
    async def shutdown(self, *, seconds: float = 0.0, force: bool = False) -> wire.PowerStarted: ...
    async def reboot(self, *, seconds: float = 0.0, force: bool = False) -> wire.PowerStarted: ...


class RpcGuest:
    """A guest of the guest protocol."""

    def __init__(self, lines: Lines, speaks: str = "stead") -> None:
        self.lines = lines
        self.speaks = speaks

    async def ping(self) -> float:
        began = time.monotonic()
        await self._ask("ping", None, wire.Pong)
        return time.monotonic() - began

    async def call(self, method: str, params: dict[str, Any], seconds: float = ANSWER_SECONDS) -> Any:
        return await self.lines.call(method, params or None, seconds=seconds)

    async def info(self) -> wire.AgentInfo:
        return await self._ask("get_agent_info", None, wire.AgentInfo)

    async def system(self) -> wire.SystemInfo:
        return await self._ask("get_system_info", None, wire.SystemInfo)

    async def network(self) -> wire.NetworkInfo:
        return await self._ask("get_network_info", None, wire.NetworkInfo)

    async def disks(self) -> wire.DiskUsage:
        return await self._ask("get_disk_usage", None, wire.DiskUsage)

    async def exec(
        self, command: str, args: Sequence[str] = (), *, seconds: float = wire.EXEC_SECONDS, cwd: str | None = None
    ) -> wire.Executed:
        params = wire.ExecCommand(command=command, args=[*args], timeout_seconds=seconds, working_directory=cwd)
        return await self._ask("exec_command", params, wire.Executed, seconds=seconds + ANSWER_SECONDS)

    async def read(self, path: str) -> bytes:
        try:
            found = await self._ask("file_read", wire.FileRead(path=path, encoding="base64"), wire.Content)
        except SteadError as error:
            if error.code != "too_large":
                raise
            return await self._read_whole(path)
        try:
            return base64.b64decode(found.content, validate=True)
        except ValueError:
            raise SteadError("malformed", "the guest's answer to file_read is no base64") from None

    async def write(self, path: str, content: bytes, *, parents: bool = False, mode: int | None = None) -> int:
        if len(content) > ONE_LINE:
            return await self._write_whole(path, content, parents, mode)
        params = wire.FileWrite(
            path=path,
            content=base64.b64encode(content).decode(),
            encoding="base64",
            create_dirs=parents,
            permissions=None if mode is None else f"{mode:o}",
        )
        return (await self._ask("file_write", params, wire.Wrote)).bytes_written

    async def shutdown(self, *, seconds: float = 0.0, force: bool = False) -> wire.PowerStarted:
        return await self._ask("shutdown", wire.Power(timeout_seconds=seconds, force=force), wire.PowerStarted)

    async def reboot(self, *, seconds: float = 0.0, force: bool = False) -> wire.PowerStarted:
        return await self._ask("reboot", wire.Power(timeout_seconds=seconds, force=force), wire.PowerStarted)

    async def _read_whole(self, path: str) -> bytes:
        async with self.linked() as link:
            return b"".join([piece async for piece in link.toolbox.download(path)])

    async def _write_whole(self, path: str, content: bytes, parents: bool, mode: int | None) -> int:
        async with self.linked() as link:
            return (await link.toolbox.write(path, content, parents=parents, mode=mode)).size

    @contextlib.asynccontextmanager
    async def linked(self) -> AsyncIterator[GuestLink]:
        """The whole toolbox. The socket of a machine takes one client at a time, so calls wait as long as this lasts."""
        async with self.lines.apart(), GuestLink(self.lines.way) as link:
            yield link

    async def _ask(self, method: str, params: Any, kind: type[T], *, seconds: float = ANSWER_SECONDS) -> T:
        answer = await self.lines.call(method, params, seconds=seconds)
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise SteadError("malformed", f"the guest's answer to {method}: {error}") from None


@contextlib.asynccontextmanager
async def connect(where: str | Path | Way, speaks: str = "") -> AsyncIterator[GuestClient]:
    """The guest there; `speaks` ("stead", "qemu-ga", "console") spares the question who it is."""
    way = Way.of(where)
    found = speaks or ("console" if way.console else await who(way))
    if found == "qemu-ga":
        async with Session(way.where) as session:
            yield QemuGuest(session)
    else:
        async with Lines(way._replace(console=found == "console")) as lines:
            yield RpcGuest(lines, found)


async def who(where: str | Path | Way) -> str:
    """ "stead" or "qemu-ga": the two answer a ping of the guest protocol differently."""
    way = Way.of(where)
    with anyio.move_on_after(FIRST_SECONDS):
        stream = await way.lines()
        try:
            await stream.write(_PROBE)
            said = b""
            while data := await stream.read(1 << 16):
                said += data
                for line in said.split(b"\n")[:-1]:
                    if found := _speaks(line):
                        return found
        finally:
            await stream.close()
    raise SteadError("workspace_unreachable", f"nobody answers at {way.name}; the machine may still be starting")


def _speaks(line: bytes) -> str:
    value = decoded(line.lstrip(b"\xff")) or {}
    if "jsonrpc" in value:
        return "stead"
    return "qemu-ga" if "error" in value or "return" in value else ""
