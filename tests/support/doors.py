"""One guest with every door that there is, and ways through each of them."""

import contextlib
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import anyio
import httpx2
import msgspec

from stead.protocol.connections import Bytes
from stead.sdk.guest.console import JsonLines, LinkLines
from stead.sdk.guest.way import Way
from stead.testing.server import free_port
from stead.transport import unix
from stead.transport.peer import Peer
from stead.transport.upgrade import upgrade
from support.deadline import PATIENCE, eventually
from support.guests import Client, GuestProcess

TOKEN = "the-token-of-these-tests"
LINES = ("socket", "http", "device", "console", "console channel")
"""Where lines of the guest protocol go through."""
LINKS = ("socket", "http", "console channel")
"""Where the framed link goes through."""


class Doors:
    """A guest that serves a socket, HTTP, a serial line and a device, which are terminals here."""

    def __init__(self, place: Path, root: str = "", **guest: Any) -> None:
        self.place = place
        self.address = f"127.0.0.1:{free_port()}"
        self.line, self._theirs = os.openpty()
        self.port, self._its_port = os.openpty()
        tty.setraw(self._its_port)
        (place / "token").write_text(TOKEN)
        doors = [
            {"kind": "socket", "where": self.socket},
            {"kind": "http", "where": self.address, "token_file": str(place / "token")},
            {"kind": "console", "where": os.ttyname(self._theirs)},
            {"kind": "device", "where": os.ttyname(self._its_port)},
        ]
        settings = {"root": root} if root else {}
        self.guest = GuestProcess(
            place, guest={"doors": doors, "retry_seconds": 0.2} | guest, detach_seconds=0.5, **settings
        )

    @property
    def socket(self) -> str:
        return str(self.place / "door.sock")

    @property
    def root(self) -> Path:
        return self.guest.root

    @property
    def pid(self) -> int:
        return self.guest.state()["guest_pid"]

    def http(self) -> httpx2.Client:
        head = {"authorization": f"Bearer {TOKEN}"}
        return httpx2.Client(base_url=f"http://{self.address}", headers=head, timeout=PATIENCE, trust_env=False)

    def files(self) -> int:
        """How many the guest has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory(self) -> int:
        """Bytes that the guest has in memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    def hang_up(self) -> None:
        """The serial line is gone."""
        if self.line >= 0:
            os.close(self.line)
            self.line = -1

    # --- ways in

    async def serial(self) -> Bytes:
        """This end of the line, as bytes."""
        return End(self.line)

    async def way(self, door: str) -> Bytes:
        """What carries lines of the guest protocol, before the first."""
        if door == "socket":
            return await unix.connect(self.socket)
        if door == "http":
            return await Way.http(self.address, TOKEN).lines()
        if door == "device":
            return End(self.port)
        return JsonLines(await self.serial()) if door == "console" else LinkLines(await self.serial())

    @asynccontextmanager
    async def lines(self, door: str) -> AsyncIterator["Lines"]:
        way = await self.way(door)
        try:
            yield Lines(way)
        finally:
            await way.close()

    @asynccontextmanager
    async def linked(self, door: str) -> AsyncIterator[Client]:
        """The other end of a link; it is cut at the end, as by a peer that vanishes."""
        client, way = Client(), await self.way(door)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(way.close)
            client.peer = Peer(await upgrade(way), client, name=door)
            group = await stack.enter_async_context(anyio.create_task_group())
            group.start_soon(client.peer.run)
            client.ends.attach(client.peer)
            await client.greeted.wait()
            yield client
            group.cancel_scope.cancel()

    def __enter__(self) -> Self:
        self.guest.start()
        eventually(Path(self.socket).exists, "the guest listens")
        eventually(self._answers, "it answers over HTTP")
        return self

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"http://{self.address}/health", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    def __exit__(self, *raised: object) -> None:
        self.guest.__exit__(None, None, None)
        self.hang_up()
        for descriptor in (self._theirs, self.port, self._its_port):
            os.close(descriptor)


class End:
    """This end of a serial line; what was written has left when `write` returns, so that nothing comes after the close."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        os.set_blocking(self._descriptor, False)

    async def read(self, limit: int) -> bytes:
        while self._descriptor >= 0:
            try:
                return os.read(self._descriptor, limit)
            except BlockingIOError:
                with contextlib.suppress(anyio.ClosedResourceError):
                    await anyio.wait_readable(self._descriptor)
        return b""

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._descriptor)

    async def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            anyio.notify_closing(descriptor)
            os.close(descriptor)


class Lines:
    """A client of JSON-RPC that does not care how its bytes travel."""

    def __init__(self, way: Bytes) -> None:
        self.way = way
        self._buffer = b""
        self._number = 0

    async def say(self, method: str, **params: object) -> int:
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        await self.way.write(msgspec.json.encode(request) + b"\n")
        return self._number

    async def hear(self, number: int) -> dict[str, Any]:
        """The answer of that number; notifications and others are passed over."""
        while True:
            line = await self._line()
            if line and (answer := msgspec.json.decode(line)).get("id") == number:
                return dict(answer)

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        return await self.hear(await self.say(method, **params))

    async def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            data = await self.way.read(1 << 16)
            assert data, "the guest hung up"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


class Prefixed(NamedTuple):
    """One line of a serial line."""

    kind: str
    rest: bytes

    @property
    def said(self) -> dict[str, Any]:
        return dict(msgspec.json.decode(self.rest))


class Serial:
    """A serial line by hand."""

    def __init__(self, way: Bytes) -> None:
        self.way = way
        self._buffer = b""

    async def say(self, line: str) -> None:
        await self.way.write(line.encode() + b"\n")

    async def hear(self, kind: str, wanted: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
        """The next line of this kind that is wanted."""
        while True:
            found = await self._next()
            if found.kind == kind and wanted(found.said):
                return found.said

    async def _next(self) -> Prefixed:
        while b"\n" not in self._buffer:
            data = await self.way.read(1 << 16)
            assert data, "the line is gone"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        kind, _, rest = line.strip().partition(b":")
        return Prefixed(kind.decode(errors="replace"), rest)
