"""A real holder with a real guest in a directory of its own, and a client on one of its channels."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, GuestHello, Message, Request, StreamDetached
from stead.transport import unix
from stead.transport.framed import Framed
from stead.transport.peer import Peer
from stead.transport.sockets import TransportBytes
from stead.transport.streams import Stream, StreamEnds
from support.deadline import PATIENCE, eventually

WORKSPACE = "ws_00000000000000000000000000"


class Client:
    """What a node and a client are to a guest: the other end of its link. It may be linked again after a loss."""

    def __init__(self) -> None:
        self.ends = StreamEnds()
        self.hello: GuestHello | None = None
        self.greeted = anyio.Event()
        self.peer: Peer | None = None
        self.largest = 0

    async def call(
        self, workspace_id: str, method: str, params: Any = None, *, timeout: float = 60.0, repeat: bool = True
    ) -> bytes:
        """The raw JSON of the result."""
        assert self.peer is not None
        raw = msgspec.Raw(b"{}" if params is None else msgspec.json.encode(params))
        message = Call(request_id="", workspace_id=workspace_id, method=method, params=raw, timeout=timeout)
        return bytes(await self.peer.relay(message, timeout + PATIENCE))

    async def ask(self, method: str, timeout: float = 60.0, **params: Any) -> Any:
        """A call as plain JSON."""
        return msgspec.json.decode(await self.call(WORKSPACE, method, params, timeout=timeout))

    async def open(self, workspace_id: str, kind: str, params: Any = None) -> Stream:
        return await self.ends.open(workspace_id, kind, params)

    async def detach(self, stream: Stream) -> None:
        """What the control plane says when a client is gone."""
        assert self.peer is not None
        await self.peer.send(StreamDetached(stream_id=stream.id, workspace_id=WORKSPACE))

    async def request(self, peer: Peer, message: Request) -> Any:
        return await self.ends.request(peer, message)

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, GuestHello):
            self.hello = message
            self.greeted.set()
        await self.ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.largest = max(self.largest, len(frame.payload))
        self.ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.ends.detach(peer)


class GuestProcess:
    """The holder as a driver starts it, with `settings` beside the usual ones. Ends everything on leaving."""

    def __init__(self, place: Path, **settings: Any) -> None:
        self.root = place / "home"
        self.run = place / "run"
        self.config = place / "config.json"
        self._settings = settings
        self.holder: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the holder and waits until the guest listens."""
        for directory in (self.root, self.run):
            directory.mkdir(exist_ok=True)
        config = {"version": 1, "workspace_id": WORKSPACE, "root": str(self.root), "run": str(self.run)}
        self.config.write_text(json.dumps(config | self._settings))
        argv = [sys.executable, "-P", "-m", "stead.guest.holder", "--config", str(self.config)]
        self.holder = subprocess.Popen(argv, start_new_session=True, stdin=subprocess.DEVNULL)
        eventually((self.run / "guest.sock").exists, "the guest listens")
        eventually((self.run / "holder.json").exists, "the holder tells its state")

    def stop(self) -> int:
        """Asks the holder to end everything; its exit code."""
        assert self.holder is not None
        self.holder.terminate()
        try:
            return self.holder.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.holder.kill()
            raise

    def state(self) -> dict[str, int]:
        """What the holder tells."""
        found: dict[str, int] = json.loads((self.run / "holder.json").read_text())
        return found

    def kill_guest(self) -> None:
        """kill -9, and waits until another one is there."""
        before = self.state()
        os.kill(before["guest_pid"], signal.SIGKILL)
        eventually(lambda: self.state()["guest_restarts"] > before["guest_restarts"], "another guest was started")

    async def channel(self) -> TransportBytes:
        """A new connection to the guest, before any line."""
        with anyio.fail_after(PATIENCE):
            while True:
                try:
                    return await unix.connect(self.run / "guest.sock")
                except SteadError:
                    await anyio.sleep(0.01)

    @asynccontextmanager
    async def linked(self, client: Client | None = None) -> AsyncIterator[Client]:
        """A client on an upgraded channel."""
        client = client or Client()
        channel = await self.channel()
        await channel.write(b'{"jsonrpc":"2.0","id":1,"method":"link.upgrade"}\n')
        answer = b""
        while b"\n" not in answer:
            piece = await channel.read(1 << 16)
            assert piece, "the guest closed the channel"
            answer += piece
        client.peer = Peer(Framed(channel, answer.partition(b"\n")[2]), client, name="guest")
        client.greeted = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(client.peer.run)
            client.ends.attach(client.peer)
            with anyio.fail_after(PATIENCE):
                await client.greeted.wait()
            yield client
            await client.peer.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.holder is not None and self.holder.poll() is None:
            self.stop()
