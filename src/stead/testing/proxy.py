"""Proxies that break connections on purpose, for chaos tests.

Contract: `FaultProxy(target)` forwards bytes to a TCP port or a unix socket from one of its own (`async with` it; `port` or
`path` is where to connect). While it runs one may set `latency`, `split` (the most bytes a write passes on), `refusing`
(new connections are closed at once), and call `stall`/`go_on` (nothing passes, nothing is closed: half open), `cut` (both
sides see the end) and `reset` (both sides see an error). `MessageProxy(url)` does the same for whole messages of
WebSockets, with a fate for each, as `stead.testing.faults` draws them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from stead.protocol.connections import Messages
from stead.protocol.errors import SteadError
from stead.transport import websocket
from stead.transport.memory import Faults

PIECE = 64 << 10

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class FaultProxy:
    """Forwards bytes, or does not."""

    def __init__(self, target: int | Path, *, path: Path | None = None, port: int = 0) -> None:
        self.latency = 0.0
        self.split = 0
        self.refusing = False
        self.accepted = 0
        self.path = path
        self.port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def __aenter__(self) -> Self:
        if self.path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self.path)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open) // 2

    # --- faults

    def stall(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self._flowing.clear()

    def go_on(self) -> None:
        """What was held back passes."""
        self._flowing.set()

    def cut(self) -> None:
        """Every connection ends, as when a program closes it."""
        for writer in list(self._open):
            writer.close()
        self._open.clear()

    def reset(self) -> None:
        """Every connection breaks, as when a machine forgets it."""
        for writer in list(self._open):
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.family != socket.AF_UNIX:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._open.clear()

    # --- forwarding

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self.refusing:
                await self._join((reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # the target is not there, or the proxy ends: both mean that this connection does
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _join(self, near: Pair) -> None:
        far = await self._connect()
        self._open |= {near[1], far[1]}
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._pump, near[0], far[1])
                group.start_soon(self._pump, far[0], near[1])
        finally:
            self._open -= {near[1], far[1]}
            far[1].close()

    async def _connect(self) -> Pair:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(str(self._target))
        return await asyncio.open_connection("127.0.0.1", self._target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its end; then the other side sees the end too."""
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE):
                await self._hold()
                for at in range(0, len(data), self.split or PIECE):
                    writer.write(data[at : at + (self.split or PIECE)])
                    await writer.drain()
            await self._hold()
            if writer.can_write_eof():
                writer.write_eof()

    async def _hold(self) -> None:
        if self.latency:
            await anyio.sleep(self.latency)
        await self._flowing.wait()


class MessageProxy:
    """Forwards messages of WebSockets, each with its own fate."""

    def __init__(self, url: str, there: Faults | None = None, back: Faults | None = None) -> None:
        self.there = there
        self.back = back
        self.port = 0
        self.accepted = 0
        self._url = url
        self._open: set[Messages] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listens on a port of its own."""
        async with websocket.serve(self._accept, "127.0.0.1", 0) as self.port:
            yield self

    async def cut(self) -> None:
        """Every connection ends."""
        for connection in list(self._open):
            await connection.close(1001, "cut")

    async def _accept(self, near: websocket.WebSocket, path: str, headers: Mapping[str, str]) -> None:
        self.accepted += 1
        passed = {name: value for name, value in headers.items() if name in {"authorization", "cookie"}}
        far = await websocket.connect(self._url + path, passed, proxy=None)
        self._open |= {near, far}
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._pump, near, far, self.there)
                group.start_soon(self._pump, far, near, self.back)
        finally:
            self._open -= {near, far}

    async def _pump(self, source: Messages, sink: Messages, faults: Faults | None) -> None:
        with contextlib.suppress(SteadError):
            async with anyio.create_task_group() as group:
                while (message := await source.receive()) is not None:
                    for delay, copy in faults(message) if faults else ((0.0, message),):
                        if delay:
                            group.start_soon(_later, sink, delay, copy)
                        else:
                            await sink.send(copy)
        await sink.close(1001, "the other side ended")


async def _later(sink: Messages, delay: float, message: str | bytes) -> None:
    await anyio.sleep(delay)
    with contextlib.suppress(SteadError):
        await sink.send(message)
