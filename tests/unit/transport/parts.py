"""Handlers and running links that the transport tests share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import msgspec

from stead.protocol.connections import Messages
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, Message, Request, StreamOpen
from stead.transport.peer import Limits, Peer
from stead.transport.streams import Stream, StreamEnds

PATIENCE = 30.0


class Recorder:
    """Records everything and answers calls by their method."""

    def __init__(self) -> None:
        self.notices: list[Message] = []
        self.frames: list[Frame] = []
        self.reason = ""
        self.handling = 0
        self.most = 0
        self.hold = anyio.Event()
        self.noticed = anyio.Event()

    async def request(self, peer: Peer, message: Request) -> Any:
        assert isinstance(message, Call)
        self.handling += 1
        self.most = max(self.most, self.handling)
        try:
            return await self._call(message)
        finally:
            self.handling -= 1

    async def _call(self, message: Call) -> Any:
        match message.method:
            case "echo":
                return msgspec.json.decode(message.params)
            case "raw":
                return message.params
            case "hold":
                await self.hold.wait()
            case "refuse":
                raise SteadError("refused", "not here", why="policy")
            case "bug":
                raise ZeroDivisionError
            case "huge":
                return "x" * (3 << 20)
            case "large":
                return "x" * (1 << 20)
            case "unsendable":
                return object()
        return None

    async def notice(self, peer: Peer, message: Message) -> None:
        self.notices.append(message)
        self.noticed.set()
        self.noticed = anyio.Event()

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.frames.append(frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.reason = reason


def call(method: str, params: object = None, workspace: str = "ws_1") -> Call:
    return Call(request_id="", workspace_id=workspace, method=method, params=msgspec.Raw(msgspec.json.encode(params)))


class Server:
    """The accepting side of streams: `echo` sends back what came, `sink` counts, `source` sends `size` bytes."""

    def __init__(self, ends: StreamEnds | None = None) -> None:
        self.ends = ends or StreamEnds()
        self.streams: list[Stream] = []
        self.ended: list[str] = []

    async def request(self, peer: Peer, message: Request) -> Any:
        if not isinstance(message, StreamOpen):
            return await self.ends.request(peer, message)
        if message.kind == "refused":
            raise SteadError("refused", "no such kind")
        stream = self.ends.accept(message.stream_id, message.workspace_id, message.kind, peer)
        if stream.fresh:
            self.streams.append(stream)
            self.group.start_soon(self._serve, stream, msgspec.json.decode(message.params))
        return {"kind": message.kind}

    async def _serve(self, stream: Stream, params: dict[str, int]) -> None:
        try:
            await getattr(self, f"_{stream.kind}")(stream, params)
            self.ended.append("over")
        except SteadError as error:
            self.ended.append(error.code)

    async def _echo(self, stream: Stream, params: dict[str, int]) -> None:
        count = 0
        while (data := await stream.receive()) is not None:
            count += len(data)
            await stream.send(data)
        await stream.end({"bytes": count})

    async def _sink(self, stream: Stream, params: dict[str, int]) -> None:
        count = 0
        while (data := await stream.receive()) is not None:
            count += len(data)
        await stream.end({"bytes": count})

    async def _source(self, stream: Stream, params: dict[str, int]) -> None:
        left = params["size"]
        while left > 0:
            piece = PATTERN[: min(left, len(PATTERN))]
            await stream.send(piece)
            left -= len(piece)
        await stream.end()

    async def _stuck(self, stream: Stream, params: dict[str, int]) -> None:
        await stream.closed.wait()
        if stream.fault:
            raise stream.fault

    async def notice(self, peer: Peer, message: Message) -> None:
        await self.ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.ends.detach(peer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        async with anyio.create_task_group() as self.group:
            yield self
            self.group.cancel_scope.cancel()


class Late(Server):
    """Opens nothing before it is told to go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = anyio.Event()

    async def request(self, peer: Peer, message: Request) -> Any:
        if isinstance(message, StreamOpen):
            await self.go.wait()
        return await super().request(peer, message)


PATTERN = bytes((number * 13 + (number >> 8)) & 255 for number in range(1 << 16))


class Client(Server):
    """The opening side."""


@asynccontextmanager
async def linked(
    connections: tuple[Messages, Messages], first: Any, second: Any, limits: Limits | None = None
) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two running peers."""
    limits = limits or Limits()
    one = Peer(connections[0], first, name="one", limits=limits)
    two = Peer(connections[1], second, name="two", limits=limits)
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        group.start_soon(two.run)
        with anyio.fail_after(PATIENCE):
            yield one, two
            await one.close()
            await two.close()


async def read_all(stream: Stream) -> bytes:
    data = bytearray()
    while (chunk := await stream.receive()) is not None:
        data += chunk
    return bytes(data)
