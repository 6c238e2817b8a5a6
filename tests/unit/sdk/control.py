"""A control plane of a few lines: a real WebSocket server with one workspace that keeps execs, to be cut and restarted."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import (
    Call,
    ClientHello,
    EventNotice,
    Message,
    Refused,
    Request,
    StreamOpen,
    StreamResume,
    Watch,
    Welcome,
)
from stead.toolbox import records
from stead.transport import websocket
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds
from stead.transport.websocket import WebSocket


class Control:
    """What the workspace does is told by the fields; `ends` are the guest's, so they outlive every link."""

    def __init__(self, tasks: TaskGroup) -> None:
        self.tasks = tasks
        self.ends = StreamEnds()
        self.peers: list[Peer] = []
        self.calls: list[Call] = []
        self.watches: list[str] = []
        self.opened: list[StreamOpen] = []
        self.headers: Mapping[str, str] = {}
        self.refusal: SteadError | None = None
        self.cut_calls = 0
        self.log = bytearray()
        self.grown = anyio.Event()
        self.finished = False
        self.port = 0

    async def connection(self, socket: WebSocket, path: str, headers: Mapping[str, str]) -> None:
        assert path == "/api/v1/link"
        self.headers = headers
        peer = Peer(socket, self, name="client")
        self.peers.append(peer)
        await peer.run()

    async def request(self, peer: Peer, message: Request) -> Any:
        match message:
            case Call():
                return await self.call(peer, message)
            case Watch():
                self.watches.append(message.after)
                return {"cursor": message.after or "c0"}
            case StreamOpen():
                self.opened.append(message)
                stream = self.ends.accept(message.stream_id, message.workspace_id, message.kind, peer)
                if stream.fresh:
                    cursor = msgspec.json.decode(message.params).get("cursor", 0)
                    self.tasks.start_soon(self.play, stream, cursor)
                return None
            case StreamResume():
                return await self.ends.request(peer, message)
        raise SteadError("method_not_found", "not here")

    async def call(self, peer: Peer, message: Call) -> Any:
        self.calls.append(message)
        if self.cut_calls:
            self.cut_calls -= 1
            await peer.close("cut by the test")
            await anyio.sleep_forever()
        params = msgspec.json.decode(message.params)
        status = {"exec_id": params.get("exec_id", ""), "state": "exited", "exit_code": 0}
        return {"status": status, "stdout": base64.b64encode(b"hi\n").decode()}

    async def play(self, stream: Stream, cursor: int) -> None:
        """The log from the cursor on, to the end of the exec."""
        try:
            while True:
                if cursor < len(self.log):
                    piece = bytes(self.log[cursor : cursor + 5000])
                    cursor += len(piece)
                    await stream.send(piece)
                elif self.finished:
                    await stream.end({"exec_id": "ex_1", "state": "exited", "exit_code": 3})
                    return
                else:
                    await self.grown.wait()
        except SteadError:
            return

    def print(self, data: bytes, *, last: bool = False) -> None:
        self.log += records.encode(records.STDOUT, data)
        self.finished = last
        self.grown.set()
        self.grown = anyio.Event()

    async def event(self, cursor: str, subject: str) -> None:
        for peer in self.peers:
            if not peer.closed.is_set():
                await peer.send(EventNotice(cursor=cursor, at=1.0, kind="workspace.changed", subject=subject))

    async def cut(self) -> None:
        """Every link is lost; the guest goes on."""
        for peer in self.peers:
            await peer.close("cut by the test")

    async def forget(self) -> None:
        """The guest is another one now: it knows no stream."""
        self.ends = StreamEnds()
        await self.cut()

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, ClientHello):
            if self.refusal is not None:
                await peer.send(Refused(error=self.refusal.fault()))
            else:
                await peer.send(Welcome(protocol="1.0", boot_id="boot", server_version="0"))
        else:
            await self.ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.ends.detach(peer)


@asynccontextmanager
async def running() -> AsyncIterator[Control]:
    async with anyio.create_task_group() as tasks:
        control = Control(tasks)
        async with websocket.serve(control.connection, "127.0.0.1", 0) as port:
            control.port = port
            yield control
            await control.cut()
        tasks.cancel_scope.cancel()
