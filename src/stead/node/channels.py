"""The ways to the guests: one link for each workspace in use, opened at the first need and again after a loss.

Contract: `peer(workspace_id)` is a live link to the guest or a SteadError that says why there is none; while a guest is being
restarted it waits, bounded, and all who want the same guest wait for the same opening. A guest that often is not there in time
or is lost again is left alone for a while (`stead.transport.breaker`): then everybody is told so at once, `books.silent` has it
for the reports, and the node tries it by itself. What the node does to a workspace itself is never held against its guest.
`call` passes a toolbox call on undecoded. `changed(workspace_id)` is called when a guest came back with another boot id, and
when one is given up or found again. Nothing here decodes what passes.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.drivers.contract import Sight
from stead.node.books import Books
from stead.node.upgrade import upgrade
from stead.protocol.errors import Fault, SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Call, GuestHello, Message, Request
from stead.protocol.methods import repeatable
from stead.protocol.version import agree
from stead.transport.attempts import NODE_GRACE, Deadline, UnansweredError, ask
from stead.transport.backoff import Backoff
from stead.transport.breaker import FAILURES, REST, WINDOW, Breaker
from stead.transport.peer import Limits, Peer
from stead.transport.relay import Relay

log = logging.getLogger(__name__)

OPEN_SECONDS = 12.0
"""How long a guest may take to come back; five times that is within the breaker's window."""
HELLO_SECONDS = 10.0
_FIRST_PAUSE = 0.02
_LEAST_PAUSE = 0.005
_LONGEST_PAUSE = 0.5


class NoGuestError(SteadError):
    """The driver knows that there is no guest to wait for."""


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


class Way:
    """The way to one guest: its link, how it fared lately, and the opening under way."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.guest: Guest | None = None
        self.opening: Opening | None = None
        self.watched = False

    def live(self) -> Peer | None:
        return None if self.guest is None or self.guest.peer.lost else self.guest.peer


class Opening:
    """One try to get a link, for all who want it; it goes on when they have no time left."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.peer: Peer | None = None
        self.error: SteadError | None = None

    async def result(self) -> Peer:
        await self.over.wait()
        if self.peer is not None:
            return self.peer
        error = self.error or SteadError("workspace_unreachable", "the node is shutting down")
        raise SteadError(error.code, error.message, **error.details)


class Channels:
    """All of them."""

    def __init__(self, books: Books, changed: Callable[[str], None], group: TaskGroup) -> None:
        self._books = books
        self._changed = changed
        self._group = group
        self._ways: dict[str, Way] = {}
        self.active: dict[str, float] = {}

    async def call(self, message: Call) -> msgspec.Raw:
        """Passes the call on and the result back; where that is safe it is asked again when the guest was lost meanwhile."""

        async def link(seconds: float) -> Peer:
            return await self.peer(message.workspace_id, seconds)

        deadline, repeat = Deadline(message.timeout), repeatable(message.method)
        try:
            return await ask(message, link, deadline, grace=NODE_GRACE, repeat=repeat, losses=1, patience=0.0)
        except UnansweredError as error:
            if error.code != "unavailable":
                raise
            raise SteadError("workspace_unreachable", f"the guest was lost twice: {error.message}") from None

    async def peer(self, workspace_id: str, seconds: float = math.inf) -> Peer:
        """A live link to the guest, in so many seconds."""
        self._books.own(workspace_id)
        self.active[workspace_id] = time.time()
        way = self._ways.setdefault(workspace_id, Way())
        if (peer := way.live()) is not None:
            return peer
        opening = self._opening(workspace_id, way)
        with anyio.move_on_after(seconds):
            return await opening.result()
        raise SteadError("workspace_unreachable", f"the guest did not come back within {seconds:.1f} s")

    async def let_go(self, workspace_id: str) -> None:
        """Closes the link, if there is one, and forgets how the guest fared."""
        way = self._ways.pop(workspace_id, None)
        self._books.boots.pop(workspace_id, None)
        self._books.silent.pop(workspace_id, None)
        self.active.pop(workspace_id, None)
        if way is not None and way.guest is not None:
            await way.guest.peer.close("the workspace is being stopped")

    def forgive(self, workspace_id: str) -> None:
        """The workspace was started: how its guest fared before says nothing any more."""
        self._books.silent.pop(workspace_id, None)
        if (way := self._ways.get(workspace_id)) is not None:
            way.breaker = Breaker()

    async def close(self) -> None:
        """Closes all links; the guests go on."""
        ways, self._ways = self._ways, {}
        for way in ways.values():
            if way.guest is not None:
                await way.guest.peer.close("the node is shutting down")

    # --- opening

    def _opening(self, workspace_id: str, way: Way) -> Opening:
        """The one that is under way, or a new one; refused while the circuit is open."""
        if not self._at_work(workspace_id):
            (way.breaker.allow if way.opening is None else way.breaker.check)(time.monotonic())
        if way.opening is None:
            way.opening = Opening()
            self._group.start_soon(self._open_for, workspace_id, way, way.opening)
        return way.opening

    def _at_work(self, workspace_id: str) -> bool:
        """Whether the node itself is changing the workspace."""
        return workspace_id in self._books.starting

    async def _open_for(self, workspace_id: str, way: Way, opening: Opening) -> None:
        try:
            opening.peer = await self._open_patiently(workspace_id, way)
        except NoGuestError as error:
            opening.error = error
            self.forgive(workspace_id)
        except SteadError as error:
            opening.error = error
            self._failed(workspace_id, way, error)
        else:
            way.breaker.succeeded()
        finally:
            way.breaker.abandoned()
            way.opening = None
            opening.over.set()

    async def _open_patiently(self, workspace_id: str, way: Way) -> Peer:
        """Tries again while the guest may be coming back."""
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        trouble = "it does not answer"
        with anyio.move_on_after(OPEN_SECONDS):
            while True:
                try:
                    return await self._open(workspace_id, way)
                except SteadError as error:
                    trouble = error.message
                await self._check_running(workspace_id)
                await anyio.sleep(backoff.delay(at_least=_LEAST_PAUSE))
        raise SteadError("workspace_unreachable", f"no link to the guest within {OPEN_SECONDS:g} s: {trouble}")

    async def _check_running(self, workspace_id: str) -> None:
        record = self._books.own(workspace_id)
        status = await self._books.status(record)
        if self._at_work(workspace_id):
            return
        if status.sight is Sight.BROKEN:
            raise NoGuestError("workspace_unreachable", f"the workspace is broken: {status.note}")
        if status.sight in {Sight.STOPPED, Sight.ABSENT}:
            raise NoGuestError("workspace_not_running", "the workspace does not run")

    async def _open(self, workspace_id: str, way: Way) -> Peer:
        record = self._books.own(workspace_id)
        channel = await self._books.driver(record.driver).channel(self._books.handle(record))
        try:
            with anyio.fail_after(HELLO_SECONDS):
                messages = await upgrade(channel)
        except (TimeoutError, SteadError):
            raise SteadError("workspace_unreachable", "the guest does not answer") from None
        guest = Guest(lambda lost: self._lost(workspace_id, way, lost))
        guest.attach(Peer(messages, guest, name=f"guest of {workspace_id}", limits=Limits()))
        self._group.start_soon(_live, guest.peer)
        try:
            await self._greet(workspace_id, way, guest)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await guest.peer.close("no hello")
            raise
        way.guest = guest
        return guest.peer

    async def _greet(self, workspace_id: str, way: Way, guest: Guest) -> None:
        """The guest says who it is; another boot id than before means that it was restarted."""
        with anyio.move_on_after(HELLO_SECONDS):
            await guest.greeted.wait()
        if guest.hello is None or guest.peer.lost:
            raise SteadError("workspace_unreachable", "the guest did not say hello")
        if self._ways.get(workspace_id) is not way:
            raise SteadError("workspace_unreachable", "the workspace is being stopped")
        agree(guest.hello.protocol)
        before = self._books.boots.get(workspace_id)
        self._books.boots[workspace_id] = guest.hello.boot_id
        if before is not None and before != guest.hello.boot_id:
            self._changed(workspace_id)

    # --- how it fares

    def _lost(self, workspace_id: str, way: Way, guest: Guest) -> None:
        if way.guest is guest:
            way.guest = None
            self._failed(workspace_id, way, SteadError("unavailable", f"the link was lost: {guest.peer.reason}"))

    def _failed(self, workspace_id: str, way: Way, error: SteadError) -> None:
        """Held against the guest, unless the node itself is the cause."""
        if self._ways.get(workspace_id) is not way or self._at_work(workspace_id):
            return
        way.breaker.failed(time.monotonic(), error)
        if way.breaker.state == "open" and workspace_id not in self._books.silent:
            log.warning("the guest of %s is left alone: %s", workspace_id, error.message)
            self._books.silent[workspace_id] = _silence(error)
            self._changed(workspace_id)
            if not way.watched:
                way.watched = True
                self._group.start_soon(self._watch, workspace_id, way)

    async def _watch(self, workspace_id: str, way: Way) -> None:
        """Tries a guest that is left alone when it is time, until it answers or there is none."""
        try:
            while self._ways.get(workspace_id) is way and way.breaker.state != "closed":
                await anyio.sleep(max(_LONGEST_PAUSE, way.breaker.wait(time.monotonic())))
                await self._probe(workspace_id, way)
        finally:
            way.watched = False
        if self._ways.get(workspace_id) is way:
            self._books.silent.pop(workspace_id, None)
            self._changed(workspace_id)

    async def _probe(self, workspace_id: str, way: Way) -> None:
        try:
            await self._opening(workspace_id, way).result()
        except SteadError as error:
            log.debug("the guest of %s: %s", workspace_id, error.message)


def _silence(error: SteadError) -> Fault:
    """What a report says of a guest that is left alone."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return SteadError(
        "workspace_unreachable",
        f"the guest failed {FAILURES} times within {WINDOW:g} s and is left alone since {since}; it is tried every {REST:g} s;"
        f" the last failure: {error.message}",
    ).fault()


async def _live(peer: Peer) -> None:
    """A mistake in what runs over a link costs the link, never the node."""
    try:
        await peer.run()
    except Exception:
        log.exception("%s failed", peer)
