"""The client link: what browsers, command lines and SDKs say over their one WebSocket.

Contract: `await links.serve(messages, known)` runs one link until it closes: hello, then calls and streams, each authorised
and relayed to the node undecoded, and events. It never raises for what the client does. A link ends within a second of
its credential. A call costs one look into `Access` and one message each way.
"""

from __future__ import annotations

from typing import Any, TypeVar

import anyio
import msgspec
import structlog

from stead import __version__
from stead.control.http.limits import QUEUE_BYTES, Limits
from stead.control.people.audit import OK, Audit
from stead.control.people.caller import Caller
from stead.control.people.identity import Identities, Known
from stead.control.people.live import Live
from stead.control.store import events
from stead.control.store.store import Store
from stead.control.streams.access import Access
from stead.control.streams.names import Names
from stead.control.streams.rate import Pace
from stead.control.streams.relay import NodeStreams
from stead.model import ids
from stead.protocol.connections import Messages
from stead.protocol.errors import SteadError
from stead.protocol.frames import BULK_BYTES, Frame
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
from stead.protocol.methods import CALLS, STREAMS, Right, repeatable
from stead.protocol.version import agree
from stead.transport.attempts import CONTROL_GRACE, Deadline, UnansweredError, once, opened
from stead.transport.peer import Limits as PeerLimits
from stead.transport.peer import Peer
from stead.transport.relay import Relay

log = structlog.get_logger("stead.links")

T = TypeVar("T", StreamOpen, StreamResume)

REFUSED = 4401
EVENTS_PAGE = 200


class Books(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What every client link works with."""

    store: Store
    access: Access
    nodes: NodeStreams
    names: Names
    audit: Audit
    identities: Identities
    live: Live
    limits: Limits
    boot_id: str


class ClientLinks:
    """All client links of this process."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._peers: set[Peer] = set()

    def __len__(self) -> int:
        return len(self._peers)

    def check_room(self, known: Known) -> None:
        """Raises "too_many" when the user has all the links there may be."""
        if self._books.live.count(known.caller.user_id) >= self._books.limits.links:
            raise SteadError("too_many", f"a user has at most {self._books.limits.links} links (`limits.links`)")

    async def serve(self, messages: Messages, known: Known, *, trusted: bool = False) -> None:
        """One link, to its end. A trusted one is our own: it has no limits and writes no audit entries."""
        caller = known.caller
        handler = ClientLink(self._books, caller, trusted=trusted)
        peer = Peer(messages, handler, name=f"client {caller.name}", limits=handler.peer_limits())
        self._peers.add(peer)
        try:
            with self._books.live.by(caller, known.expires):
                if trusted or await self._holds(known):
                    await peer.run()
                else:
                    await messages.close(REFUSED, "unauthenticated")
        finally:
            self._peers.discard(peer)

    async def _holds(self, known: Known) -> bool:
        """Whether the credential still holds, now that its end would be noticed."""
        try:
            await self._books.identities.confirm(known)
        except SteadError as error:
            log.info("a link was not served", code=error.code, error=error.message)
            return False
        return True

    async def goaway(self, reason: str, retry_after: float) -> None:
        """Tells every client that this server will close soon."""
        async with anyio.create_task_group() as group:
            for peer in list(self._peers):
                group.start_soon(_goaway, peer, reason, retry_after)

    async def close(self) -> None:
        """Closes every link."""
        async with anyio.create_task_group() as group:
            for peer in list(self._peers):
                group.start_soon(peer.close, "the server stops")


async def _goaway(peer: Peer, reason: str, retry_after: float) -> None:
    try:
        with anyio.move_on_after(1.0):
            await peer.goaway(reason, retry_after)
    except SteadError:
        return


class ClientLink:
    """The handler of one link."""

    def __init__(self, books: Books, caller: Caller, *, trusted: bool) -> None:
        self._books = books
        self._caller = caller
        self._trusted = trusted
        self._calls = 0
        self._greeted = False
        self._relay: Relay | None = None
        self._watching = False
        self._pace = Pace(books.limits.link_messages_per_second)

    def peer_limits(self) -> PeerLimits:
        """What the wire itself bounds; a trusted link carries many requests."""
        if self._trusted:
            return PeerLimits(requests_in=4096)
        asked = self._books.limits.link_calls + self._books.limits.link_streams
        return PeerLimits(requests_in=asked, queue_bytes=QUEUE_BYTES, control_bytes=QUEUE_BYTES)

    async def request(self, peer: Peer, message: Request) -> Any:
        """One thing that the client asks."""
        if not self._trusted and not self._pace.take():
            raise SteadError("rate_limited", "too many messages on this link (`limits.link_messages_per_second`)")
        if not self._greeted:
            raise SteadError("malformed", "a link begins with client.hello")
        if type(message) is Call:
            return await self._call(message)
        if isinstance(message, StreamOpen):
            return await self._open(self._relay_of(peer), message)
        if isinstance(message, StreamResume):
            return await self._resume(self._relay_of(peer), message)
        if isinstance(message, Watch):
            return await self._watch(peer, message)
        raise SteadError("method_not_found", "clients do not ask that of the control plane")

    async def notice(self, peer: Peer, message: Message) -> None:
        """Hello first; later what is said of streams."""
        if isinstance(message, ClientHello):
            await self._hello(peer, message)
        elif self._relay is not None:
            self._relay.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        """Straight on to the node."""
        if self._relay is not None:
            self._relay.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        """Its streams wait for a resume."""
        if self._relay is not None:
            self._relay.closed()
            self._relay = None

    # --- hello

    async def _hello(self, peer: Peer, message: ClientHello) -> None:
        try:
            protocol = agree(message.protocol)
        except SteadError as error:
            await peer.send(Refused(error=error.fault()))
            await peer.close(error.message)
            return
        self._greeted = True
        await peer.send(Welcome(protocol=protocol, boot_id=self._books.boot_id, server_version=__version__))

    # --- calls

    async def _call(self, message: Call) -> msgspec.Raw:
        right = CALLS.get(message.method)
        if right is None:
            raise SteadError("method_not_found", f"there is no call {message.method[:100]}")
        if self._calls >= self._books.limits.link_calls and not self._trusted:
            raise SteadError("too_many", f"{self._calls} calls are in flight on this link (`limits.link_calls`)")
        self._calls += 1
        outcome = OK
        deadline = Deadline(message.timeout)
        try:
            place = self._books.access.at_once(self._caller, message.workspace_id, right)
            if place is None:
                place = await self._books.access.find(self._caller, message.workspace_id, right)
                message = msgspec.structs.replace(message, workspace_id=place.workspace_id)
            node = self._books.nodes.link(place.node_id)
            return await once(message, node, deadline, grace=CONTROL_GRACE, repeat=repeatable(message.method))
        except SteadError as error:
            outcome = error.code
            if error.code in {"not_found", "workspace_not_running"}:
                self._books.access.forget(message.workspace_id)
            raise
        finally:
            self._calls -= 1
            if right is not Right.READ:
                self._note(message.method, message.workspace_id, outcome)

    # --- streams

    async def _open(self, relay: Relay, message: StreamOpen) -> msgspec.Raw:
        right = STREAMS.get(message.kind)
        if right is None:
            raise SteadError("method_not_found", f"there is no stream {message.kind[:100]}")
        ids.check(ids.Kind.STREAM, message.stream_id)
        most = self._books.limits.link_streams
        if not self._trusted and len(relay) >= most and relay.active() >= most:
            raise SteadError("too_many", f"{most} streams are open on this link (`limits.link_streams`)")
        outcome = OK
        deadline = Deadline(message.timeout)
        try:
            far, peer, workspace_id = await self._bind(relay, message.stream_id, message.workspace_id, right)
            return await opened(_onward(message, far, workspace_id), peer, deadline, grace=CONTROL_GRACE)
        except UnansweredError as error:
            outcome = error.code
            relay.abandon(message.stream_id)
            raise
        except SteadError as error:
            outcome = error.code
            relay.unbind(message.stream_id)
            raise
        finally:
            self._note(f"stream {message.kind}", message.workspace_id, outcome)

    async def _resume(self, relay: Relay, message: StreamResume) -> msgspec.Raw:
        ids.check(ids.Kind.STREAM, message.stream_id)
        far, peer, workspace_id = await self._bind(relay, message.stream_id, message.workspace_id, Right.READ)
        onward = _onward(message, far, workspace_id)
        return await peer.relay(onward)

    async def _bind(self, relay: Relay, stream_id: str, ref: str, right: Right) -> tuple[str, Peer, str]:
        place = await self._books.access.find(self._caller, ref, right)
        far = self._books.names.next_hop(who(self._caller), stream_id, place.workspace_id)
        peer = self._books.nodes.link(place.node_id)
        relay.bind(stream_id, peer, far, place.workspace_id)
        return far, peer, place.workspace_id

    def _relay_of(self, peer: Peer) -> Relay:
        if self._relay is None:
            self._relay = Relay(peer)
        return self._relay

    # --- events

    async def _watch(self, peer: Peer, message: Watch) -> dict[str, str]:
        self._caller.require(Right.READ)
        if self._watching:
            raise SteadError("conflict", "this link watches already")
        cursor = message.after or await self._books.store.read(events.latest)
        await self._books.store.read(events.page, self._caller, "", cursor, 1)
        self._watching = True
        peer.spawn(self._tell_events, peer, cursor)
        return {"cursor": cursor}

    async def _tell_events(self, peer: Peer, cursor: str) -> None:
        while not peer.closed.is_set():
            mark = self._books.store.hints.mark()
            try:
                page = await self._books.store.read(events.page, self._caller, "", cursor, EVENTS_PAGE)
                for event in page.items:
                    notice = EventNotice(
                        cursor=event.cursor, at=event.at, kind=event.kind, subject=event.subject, data=event.data
                    )
                    await peer.send(notice)
            except SteadError as error:
                if peer.closed.is_set():
                    return
                log.warning("events wait", error=error.message)
                await anyio.sleep(1.0)
                continue
            cursor = page.next or cursor
            if not page.items:
                await mark.wait()

    # --- audit

    def _note(self, action: str, subject: str, outcome: str) -> None:
        if not self._trusted:
            self._books.audit.post(self._books.audit.entry(self._caller, action, subject, outcome))


def _onward(message: T, stream_id: str, workspace_id: str) -> T:
    """The message for the node; frames get no larger than this server takes."""
    most = min(message.frame_bytes, BULK_BYTES)
    return msgspec.structs.replace(message, stream_id=stream_id, workspace_id=workspace_id, frame_bytes=most)


def who(caller: Caller) -> str:
    """Whose streams these are: a credential with fewer rights cannot resume what another of the same user opened."""
    return f"{caller.user_id} {' '.join(right for right in Right if caller.can(right))}"
