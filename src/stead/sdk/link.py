"""The client link: one WebSocket to the control plane, opened on first use, kept through every loss.

Contract: `call` asks a workspace something (repeated by itself only where that is safe), `open` opens a stream that goes
on through reconnects, `told` and `watching` give live events. The owner hands over a task group with `use`; the link ends
for good only when the control plane refuses this caller.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from stead import __version__
from stead.model import ids
from stead.protocol.errors import SteadError
from stead.protocol.messages import (
    Call,
    ClientHello,
    EventNotice,
    GoAway,
    Message,
    Refused,
    Request,
    Watch,
    Welcome,
)
from stead.protocol.methods import repeatable
from stead.protocol.version import PROTOCOL
from stead.transport import websocket
from stead.transport.attempts import CLIENT_GRACE, Deadline, ask
from stead.transport.backoff import Absence, Backoff
from stead.transport.peer import Peer
from stead.transport.streams import Stream, StreamEnds

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from stead.protocol.frames import Frame

FINAL = frozenset({"unauthenticated", "forbidden", "origin_refused", "version_unsupported", "not_found", "invalid"})
"""Faults at connecting that no repetition will change."""
WAITING_EVENTS = 1000
"""The most events a watcher may be behind."""

Listener = Callable[[EventNotice | None], None]
"""Hears every event, and None when no more will come because the caller was refused or the link closed."""


class ClientLink:
    """One caller's link to one control plane. `state` is "idle", "connected", "lost" or "refused"."""

    def __init__(self, url: str, token: str, *, patience: float = 30.0) -> None:
        self._url = f"ws{url.removeprefix('http')}/api/v1/link"
        self._headers = {"User-Agent": f"stead/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._patience = patience
        self._hello = ClientHello(protocol=PROTOCOL, client=f"sdk/{__version__}", boot_id=_fresh(ids.Kind.SESSION))
        self._peer: Peer | None = None
        self._changed = anyio.Event()
        self._refusal: SteadError | None = None
        self._trouble = "no answer yet"
        self._listeners: list[Listener] = []
        self._cursor = ""
        self._watched: Peer | None = None
        self._watch_lock = anyio.Lock()
        self._tasks: TaskGroup | None = None
        self._running = False
        self.streams = StreamEnds()
        self.state = "idle"

    def use(self, tasks: TaskGroup) -> None:
        """The task group that will drive the link once it is needed."""
        self._tasks = tasks

    async def call(
        self, workspace_id: str, method: str, params: msgspec.Struct, *, timeout: float = 60.0
    ) -> msgspec.Raw:
        """Asks a workspace; where that is safe again after a loss, within the time of the call."""
        raw = msgspec.Raw(msgspec.json.encode(params))
        message = Call(request_id="", workspace_id=workspace_id, method=method, params=raw)
        repeat = repeatable(method, params)
        return await ask(message, self.connected, Deadline(timeout), grace=CLIENT_GRACE, repeat=repeat)

    async def open(self, workspace_id: str, kind: str, params: msgspec.Raw) -> Stream:
        """A stream to a workspace; it goes on through reconnects by itself."""
        await self.connected()
        return await self.streams.open(workspace_id, kind, params)

    async def connected(self, seconds: float = math.inf) -> Peer:
        """The live link; waits for it at most `patience` seconds, and at most these."""
        if (peer := self._live) is not None:
            return peer
        self._begin()
        with anyio.move_on_after(min(seconds, self._patience)):
            while self._live is None and self._refusal is None:
                await self._changed.wait()
        if self._refusal is not None:
            raise self._refusal
        if (peer := self._live) is None:
            raise SteadError("unavailable", f"no link to the control plane: {self._trouble}")
        return peer

    @property
    def _live(self) -> Peer | None:
        return None if self._peer is None or self._peer.closed.is_set() else self._peer

    async def until(self, state: str) -> None:
        """Waits until the link is in this state."""
        while self.state != state:
            await self._changed.wait()

    async def close(self) -> None:
        """Stops; the control plane tells the far ends of streams that are still open."""
        self._refuse(SteadError("unavailable", "the link was closed"))
        if self._peer is not None:
            await self._peer.close()

    # --- events ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def told(self, listener: Listener) -> AsyncIterator[None]:
        """Calls the listener for every event from now on."""
        self._listeners.append(listener)
        try:
            await self._watch_now()
            yield
        finally:
            self._listeners.remove(listener)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[AsyncIterator[EventNotice]]:
        """Every event from now on, one after the other; a watcher that falls too far behind is told so."""
        send, receive = anyio.create_memory_object_stream[EventNotice](WAITING_EVENTS)

        def listener(event: EventNotice | None) -> None:
            try:
                if event is None:
                    send.close()
                else:
                    send.send_nowait(event)
            except anyio.WouldBlock:
                send.close()
            except anyio.ClosedResourceError:
                pass

        async def events() -> AsyncIterator[EventNotice]:
            async for event in receive:
                yield event
            raise self._refusal or SteadError(
                "too_many", "the watcher did not keep up; read the events after the last one seen"
            )

        with send, receive:
            async with self.told(listener):
                yield events()

    async def _watch_now(self) -> None:
        """Watches over the live link, or over the next one where it is lost meanwhile."""
        absence = Absence(self._patience)
        while True:
            try:
                await self._watch(await self.connected())
                return
            except SteadError as error:
                await absence.pause(error)

    async def _watch(self, peer: Peer) -> None:
        """Asks for events after the last one seen, or where the first watch began, so that none is missed over a reconnect."""
        async with self._watch_lock:
            if self._watched is not peer:
                answer = await peer.request(Watch(request_id="", after=self._cursor))
                self._watched = peer
                if not self._cursor and isinstance(answer, dict):
                    self._cursor = str(answer.get("cursor", ""))

    def _tell(self, event: EventNotice) -> None:
        self._cursor = event.cursor
        for listener in list(self._listeners):
            listener(event)

    # --- keeping it up ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._running or self._refusal is not None:
            return
        if self._tasks is None:
            raise SteadError("invalid", "the client is used outside of `async with`")
        self._running = True
        self._tasks.start_soon(self._run)

    async def _run(self) -> None:
        backoff = Backoff()
        while self._refusal is None:
            began = time.monotonic()
            await self._attempt()
            if self._refusal is None:
                await anyio.sleep(backoff.delay(time.monotonic() - began))

    async def _attempt(self) -> None:
        """One connection from its handshake to its end."""
        try:
            connection = await websocket.connect(self._url, self._headers)
            peer = Peer(connection, self, name="client")
            await peer.send(self._hello)
            await peer.run()
        except SteadError as error:
            self._trouble = error.message
            if error.code in FINAL:
                self._refuse(error)

    def _refuse(self, error: SteadError) -> None:
        """No repetition will help: whoever waits is told."""
        if self._refusal is None:
            self._refusal = error
            self.streams.close(error)
            for listener in list(self._listeners):
                listener(None)
            self._state("refused")

    def _state(self, state: str) -> None:
        changed, self._changed = self._changed, anyio.Event()
        self.state = state
        changed.set()

    # --- what the peer hands over ------------------------------------------------------------------------------------

    async def request(self, peer: Peer, message: Request) -> Any:
        raise SteadError("method_not_found", "a client answers no requests")

    async def notice(self, peer: Peer, message: Message) -> None:
        match message:
            case Welcome():
                await self._welcomed(peer)
            case Refused():
                self._refuse(SteadError.of(message.error))
                await peer.close()
            case EventNotice():
                self._tell(message)
            case GoAway():
                await peer.close()
            case _:
                await self.streams.notice(peer, message)

    async def _welcomed(self, peer: Peer) -> None:
        self._peer = peer
        self.streams.attach(peer)
        self._state("connected")
        if self._listeners and self._tasks is not None:
            self._tasks.start_soon(self._watch_again, peer)

    async def _watch_again(self, peer: Peer) -> None:
        try:
            await self._watch(peer)
        except SteadError as error:
            self._trouble = error.message
            await peer.close()

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.streams.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self._trouble = reason or self._trouble
        if self._peer is peer:
            self._peer = None
            self.streams.detach(peer)
            self._state("lost")


def _fresh(kind: ids.Kind) -> str:
    return ids.make(kind, time.time(), os.urandom(ids.ENTROPY_BYTES))
