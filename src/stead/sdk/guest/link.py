"""The framed link to a guest over its socket: the whole toolbox, without node and control plane.

Contract: `async with GuestLink(where) as link: link.toolbox` is a `RemoteToolbox`; `where` is as in `way`. The channel is
upgraded on entering; when it is lost it is opened and upgraded again, streams go on where they were, and calls that may be
repeated are. A guest that is lost often, or away for long (so many seconds of `absence` count as one loss), is left alone for a
while (`breaker`).
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
from stead.protocol.methods import repeatable
from stead.sdk.guest.greeting import Greeting
from stead.sdk.guest.way import Way
from stead.sdk.remote import RemoteToolbox
from stead.transport.attempts import CLIENT_GRACE, Deadline, ask
from stead.transport.backoff import Backoff
from stead.transport.breaker import Breaker
from stead.transport.framed import Framed
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds
from stead.transport.upgrade import upgrade

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from stead.protocol.connections import Bytes

PATIENCE = 30.0
"""How long a lost guest may take to come back."""
ABSENCE_SECONDS = 12.0
"""An absence as long as this counts as a failure."""
UPGRADE_SECONDS = 15.0
FINAL = frozenset({"unauthenticated", "forbidden", "not_found", "method_not_found", "invalid"})
"""Faults at connecting that waiting does not change."""


class GuestLink:
    """One client's link to one guest."""

    def __init__(
        self, where: str | Path | Way, *, breaker: Breaker | None = None, absence: float = ABSENCE_SECONDS
    ) -> None:
        self._way = Way.of(where)
        self._ends = StreamEnds()
        self._peer: Peer | None = None
        self._changed = anyio.Event()
        self._trouble = "it did not answer yet"
        self._refusal: SteadError | None = None
        self._linked = False
        self._absence = absence
        self._away = Deadline(absence)
        self.breaker = breaker or Breaker()
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
        self, workspace_id: str, method: str, params: msgspec.Struct, *, timeout: float = 60.0
    ) -> msgspec.Raw:
        """Asks the guest; where that is safe again after a loss, within the time of the call."""
        raw = msgspec.Raw(msgspec.json.encode(params))
        message = Call(request_id="", workspace_id=workspace_id, method=method, params=raw)
        repeat = repeatable(method, params)
        return await ask(message, self.connected, Deadline(timeout), grace=CLIENT_GRACE, repeat=repeat)

    async def open(self, workspace_id: str, kind: str, params: msgspec.Raw) -> Stream:
        """A stream that goes on through losses."""
        await self.connected()
        return await self._ends.open(workspace_id, kind, params)

    async def connected(self, seconds: float = PATIENCE) -> Peer:
        """The live link; at once an error while the guest is left alone, or refuses this client."""
        with anyio.move_on_after(min(seconds, PATIENCE)):
            while (peer := self._peer) is None or peer.lost:
                if self.breaker.state == "open":
                    self.breaker.check(time.monotonic())
                if self._refusal is not None:
                    raise SteadError(self._refusal.code, self._refusal.message)
                await self._changed.wait()
            return peer
        raise SteadError("workspace_unreachable", f"the guest is not there: {self._trouble}")

    async def _run(self) -> None:
        backoff = Backoff(limit=2.0)
        while True:
            began = time.monotonic()
            self._linked = False
            try:
                self.breaker.allow(began)
                await self._attempt()
                self._refusal = None
            except SteadError as error:
                self._trouble = error.message
                self._refusal = error if error.code in FINAL else None
                self._tell()
            self._judge()
            now = time.monotonic()
            await anyio.sleep(max(backoff.delay(now - began), self.breaker.wait(now)))

    def _judge(self) -> None:
        """A link that was lost is held against the guest, and an absence for each part of it that is long."""
        if self._linked or self._away.left <= 0 or self.breaker.state == "half-open":
            self._away = Deadline(self._absence)
            self.breaker.failed(time.monotonic(), SteadError("unavailable", self._trouble))
            self._tell()

    async def _attempt(self) -> None:
        channel = await self._way.channel()
        try:
            peer = Peer(await _linked(channel), self, name="guest")
            await peer.run()
        finally:
            await channel.close()

    # --- the handler of the peer

    async def request(self, peer: Peer, message: Request) -> Any:
        return await self._ends.request(peer, message)

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, GuestHello):
            self._peer = peer
            self._linked = True
            self.breaker.succeeded()
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


async def _linked(channel: Bytes) -> Framed:
    """The framed form of it, once the two are in step."""
    with anyio.move_on_after(UPGRADE_SECONDS):
        greeting = Greeting(channel)
        await greeting.step()
        return await upgrade(channel, greeting.rest)
    raise SteadError("unavailable", "it did not grant the framed link in time")
