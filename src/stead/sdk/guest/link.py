"""The framed link to a guest over its socket: the whole toolbox, without node and control plane.

Contract: `async with GuestLink(path) as link: link.toolbox` is a `RemoteToolbox`; with `console` the socket is that of a serial
line. The channel is upgraded on entering; when it
is lost it is opened and upgraded again, streams go on where they were, and calls that may be repeated are.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import msgspec

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, GuestHello, Message, Request
from stead.sdk.guest.console import LinkLines
from stead.sdk.guest.greeting import Greeting
from stead.sdk.remote import RemoteToolbox
from stead.transport import unix
from stead.transport.backoff import Absence, Backoff
from stead.transport.framed import Framed
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from stead.protocol.connections import Bytes

ANSWER_GRACE = 10.0
PATIENCE = 30.0
"""How long a lost guest may take to come back."""
UPGRADE_SECONDS = 15.0
_ID = "stead-upgrade"


class GuestLink:
    """One client's link to one guest."""

    def __init__(self, path: str | Path, *, console: bool = False) -> None:
        self._path = Path(path)
        self._console = console
        self._ends = StreamEnds()
        self._peer: Peer | None = None
        self._changed = anyio.Event()
        self._trouble = "it did not answer yet"
        self._stack = contextlib.AsyncExitStack()
        self._tasks: TaskGroup | None = None
        self.toolbox = RemoteToolbox(self, "")

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._run)
        try:
            await self.connected()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        self._ends.close(SteadError("unavailable", "the link was closed"))
        await self._stack.aclose()

    async def call(
        self, workspace_id: str, method: str, params: msgspec.Struct, *, timeout: float = 60.0, repeat: bool = True
    ) -> msgspec.Raw:
        """Asks the guest; with `repeat` again after a loss."""
        raw = msgspec.Raw(msgspec.json.encode(params))
        message = Call(request_id="", workspace_id=workspace_id, method=method, params=raw, timeout=timeout)
        absence = Absence()
        while True:
            peer = await self.connected()
            try:
                return await peer.relay(message, timeout + ANSWER_GRACE)
            except SteadError as error:
                if peer.closed.is_set() and not repeat:
                    raise SteadError("outcome_unknown", f"the guest was lost during {method}") from error
                await absence.pause(error, repeat=repeat)

    async def open(self, workspace_id: str, kind: str, params: msgspec.Struct) -> Stream:
        """A stream that goes on through losses."""
        await self.connected()
        return await self._ends.open(workspace_id, kind, params)

    async def connected(self) -> Peer:
        """The live link."""
        with anyio.move_on_after(PATIENCE):
            while self._peer is None:
                await self._changed.wait()
        if self._peer is None:
            raise SteadError("workspace_unreachable", f"the guest is not there: {self._trouble}")
        return self._peer

    async def _run(self) -> None:
        backoff = Backoff(limit=2.0)
        while True:
            began = time.monotonic()
            try:
                await self._attempt()
            except SteadError as error:
                self._trouble = error.message
            await anyio.sleep(backoff.delay(time.monotonic() - began))

    async def _attempt(self) -> None:
        channel: Bytes = await unix.connect(self._path)
        if self._console:
            channel = LinkLines(channel)
        try:
            peer = Peer(Framed(channel, await _upgrade(channel)), self, name="guest")
            await peer.run()
        finally:
            await channel.close()

    # --- the handler of the peer

    async def request(self, peer: Peer, message: Request) -> Any:
        return await self._ends.request(peer, message)

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, GuestHello):
            self._peer = peer
            self._ends.attach(peer)
            self._tell()
        else:
            await self._ends.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self._ends.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self._trouble = reason or self._trouble
        if self._peer is peer:
            self._peer = None
            self._ends.detach(peer)
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


async def _upgrade(channel: Bytes) -> bytes:
    """What was read after the answer to the upgrade."""
    greeting = Greeting(channel)
    with anyio.move_on_after(UPGRADE_SECONDS):
        await greeting.step()
        answer = await greeting.heard("link.upgrade", _ID, UPGRADE_SECONDS)
        if answer is not None and "result" in answer:
            return greeting.rest
    raise SteadError("unavailable", "it did not grant the framed link; another request may be under way")
