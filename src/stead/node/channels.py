"""The links to the guests: one for each workspace in use, opened at the first need and again after a loss.

Contract: `peer(workspace_id)` is a live link to the guest or a SteadError that says why there is none; while a guest is being
restarted it waits, bounded. `call` passes a toolbox call on undecoded. `changed(workspace_id)` is called when a guest came
back with another boot id. Nothing here decodes what passes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.drivers.contract import Sight
from stead.node.books import Books
from stead.node.upgrade import upgrade
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, GuestHello, Message, Request
from stead.protocol.methods import CALLS, Right
from stead.protocol.version import agree
from stead.transport.peer import Limits, Peer
from stead.transport.relay import Relay

log = logging.getLogger(__name__)

OPEN_SECONDS = 15.0
HELLO_SECONDS = 10.0
SLACK = 5.0
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5


class Guest:
    """One link to a guest, and the handler of what comes over it."""

    def __init__(self, lost: Callable[[Guest], None]) -> None:
        self.hello: GuestHello | None = None
        self.greeted = anyio.Event()
        self._lost = lost

    def attach(self, peer: Peer) -> None:
        self.peer = peer
        self._relay = Relay(peer)

    async def request(self, peer: Peer, message: Request) -> Any:
        raise SteadError("method_not_found", "a node answers nothing to a guest")

    async def notice(self, peer: Peer, message: Message) -> None:
        if isinstance(message, GuestHello):
            self.hello = message
            self.greeted.set()
        else:
            self._relay.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self._relay.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self._relay.closed()
        self.greeted.set()
        self._lost(self)


class Channels:
    """All of them."""

    def __init__(self, books: Books, changed: Callable[[str], None], group: TaskGroup) -> None:
        self._books = books
        self._changed = changed
        self._group = group
        self._guests: dict[str, Guest] = {}
        self._locks: dict[str, anyio.Lock] = {}
        self.active: dict[str, float] = {}

    async def call(self, message: Call) -> msgspec.Raw:
        """Passes the call on and the result back; one that only reads is asked again when the guest was lost meanwhile."""
        attempts = 2 if CALLS.get(message.method) is Right.READ else 1
        for _ in range(attempts):
            peer = await self.peer(message.workspace_id)
            try:
                return await peer.relay(message, message.timeout + SLACK)
            except SteadError as error:
                if error.code != "unavailable":
                    raise
        raise SteadError("workspace_unreachable", "the link to the guest was lost meanwhile; the call may be repeated")

    async def peer(self, workspace_id: str) -> Peer:
        """A live link to the guest."""
        self._books.own(workspace_id)
        self.active[workspace_id] = time.time()
        if (peer := self._live(workspace_id)) is not None:
            return peer
        async with self._locks.setdefault(workspace_id, anyio.Lock()):
            return self._live(workspace_id) or await self._open_patiently(workspace_id)

    def _live(self, workspace_id: str) -> Peer | None:
        guest = self._guests.get(workspace_id)
        return None if guest is None or guest.peer.closed.is_set() else guest.peer

    async def let_go(self, workspace_id: str) -> None:
        """Closes the link, if there is one."""
        guest = self._guests.pop(workspace_id, None)
        self._books.boots.pop(workspace_id, None)
        self._locks.pop(workspace_id, None)
        self.active.pop(workspace_id, None)
        if guest is not None:
            await guest.peer.close("the workspace is being stopped")

    async def close(self) -> None:
        """Closes all links; the guests go on."""
        for guest in list(self._guests.values()):
            await guest.peer.close("the node is shutting down")

    async def _open_patiently(self, workspace_id: str) -> Peer:
        """Tries again while the guest may be coming back."""
        until = time.monotonic() + OPEN_SECONDS
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._open(workspace_id)
            except SteadError as error:
                await self._check_running(workspace_id)
                if time.monotonic() > until:
                    raise SteadError("workspace_unreachable", f"no link to the guest: {error.message}") from None
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _check_running(self, workspace_id: str) -> None:
        record = self._books.own(workspace_id)
        status = await self._books.status(record)
        if status.sight is Sight.BROKEN and workspace_id not in self._books.starting:
            raise SteadError("workspace_unreachable", f"the workspace is broken: {status.note}")
        if status.sight in {Sight.STOPPED, Sight.ABSENT} and workspace_id not in self._books.starting:
            raise SteadError("workspace_not_running", "the workspace does not run")

    async def _open(self, workspace_id: str) -> Peer:
        record = self._books.own(workspace_id)
        channel = await self._books.driver(record.driver).channel(self._books.handle(record))
        try:
            with anyio.fail_after(HELLO_SECONDS):
                messages = await upgrade(channel)
        except (TimeoutError, SteadError):
            raise SteadError("workspace_unreachable", "the guest does not answer") from None
        guest = Guest(lambda lost: self._forget(workspace_id, lost))
        guest.attach(Peer(messages, guest, name=f"guest of {workspace_id}", limits=Limits()))
        self._group.start_soon(_live, guest.peer)
        await self._greet(workspace_id, guest)
        self._guests[workspace_id] = guest
        return guest.peer

    async def _greet(self, workspace_id: str, guest: Guest) -> None:
        """The guest says who it is; another boot id than before means that it was restarted."""
        with anyio.move_on_after(HELLO_SECONDS):
            await guest.greeted.wait()
        if guest.hello is None or guest.peer.closed.is_set():
            await guest.peer.close("no hello")
            raise SteadError("workspace_unreachable", "the guest did not say hello")
        agree(guest.hello.protocol)
        before = self._books.boots.get(workspace_id)
        self._books.boots[workspace_id] = guest.hello.boot_id
        if before is not None and before != guest.hello.boot_id:
            self._changed(workspace_id)

    def _forget(self, workspace_id: str, guest: Guest) -> None:
        if self._guests.get(workspace_id) is guest:
            del self._guests[workspace_id]


async def _live(peer: Peer) -> None:
    """A mistake in what runs over a link costs the link, never the node."""
    try:
        await peer.run()
    except Exception:
        log.exception("%s failed", peer)
