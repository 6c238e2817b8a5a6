"""The link to the control plane: dial out, prove the key, stay, come back.

Contract: `Link.run` connects again and again with full jitter until cancelled; a link counts as good only after it was
welcomed and lived a while. `ask` and `tell` use the present link ("unavailable" when there is none). What runs over a link
is started at its welcome and ends with it. Streams whose link was cut stay; those that nobody resumed after the next
welcome are told to their guests as detached.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from stead import __version__
from stead.drivers.observer import Observer
from stead.node.channels import Channels
from stead.node.identity import Identity, tls_context
from stead.node.settings import NodeSettings
from stead.node.supervisor import Supervisor
from stead.protocol.errors import SteadError
from stead.protocol.frames import BULK_BYTES, Frame
from stead.protocol.messages import (
    Call,
    Challenge,
    Command,
    CommandCancel,
    Drain,
    DriverFacts,
    Facts,
    GoAway,
    Message,
    NodeHello,
    Refused,
    Request,
    StreamDetached,
    StreamOpen,
    StreamResume,
    Welcome,
)
from stead.protocol.version import PROTOCOL, agree
from stead.transport import websocket
from stead.transport.attempts import NODE_GRACE, Deadline, UnansweredError, opened
from stead.transport.backoff import Backoff
from stead.transport.peer import Peer
from stead.transport.relay import Bound, Relay

log = logging.getLogger(__name__)

HELLO_SECONDS = 20.0
GOODBYE_SECONDS = 10.0
RESUME_SECONDS = 60.0
RESUMED_SECONDS = 25.0
"""All that a node needs to resume a stream; the control plane waits a little longer."""


class Host:
    """What a node says of itself in its hello."""

    def __init__(self, *, boot_id: str, epoch: int, facts: Facts, drivers: list[DriverFacts]) -> None:
        self.boot_id = boot_id
        self.epoch = epoch
        self.facts = facts
        self.drivers = drivers


Work = Callable[[Peer, float], Coroutine[Any, Any, None]]
"""Runs over one link: `await work(peer, heartbeat_seconds)`."""


class Link:
    """At most one live link."""

    def __init__(
        self,
        settings: NodeSettings,
        identity: Identity,
        host: Host,
        *,
        supervisor: Supervisor,
        channels: Channels,
        draining: Callable[[bool], None],
        work: list[Work],
        observer: Observer,
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.host = host
        self.supervisor = supervisor
        self.channels = channels
        self.draining = draining
        self.work = work
        self.observer = observer
        self.cut: dict[str, Bound] = {}
        self._session: Session | None = None
        self._backoff = Backoff(limit=settings.reconnect_seconds)

    async def run(self) -> None:
        """Until cancelled."""
        tls = tls_context(self.settings)
        while True:
            session = Session(self)
            try:
                connection = await websocket.connect(self.settings.link_url, tls=tls)
            except SteadError as error:
                log.info("no link: %s", error.message)
            else:
                await self._live(session, Peer(connection, session, name="control plane"))
            pause = self._backoff.delay(session.lived, session.retry_after)
            log.info("connecting again in %.1f s", pause)
            await anyio.sleep(pause)

    async def _live(self, session: Session, peer: Peer) -> None:
        """A mistake in what runs over a link costs the link, never the node."""
        try:
            await session.run(peer)
        except Exception:
            log.exception("the link failed")
            self.down(session)

    @property
    def welcomed(self) -> bool:
        return self._session is not None

    async def ask(self, message: Request, timeout: float) -> Any:
        """The control plane's answer."""
        return await self._present().request(message, timeout)

    async def tell(self, message: Message) -> None:
        """Says something if there is a link; what must not be lost is asked, not told."""
        if self._session is None:
            return
        try:
            await self._session.peer.send(message)
        except SteadError as error:
            log.debug("not told: %s", error.message)

    async def goodbye(self, reason: str) -> None:
        """Announces that this side will close."""
        if self._session is not None:
            try:
                await self._session.peer.goaway(reason)
            except SteadError as error:
                log.debug("no goodbye: %s", error.message)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.peer.close("the node is shutting down")

    def up(self, session: Session) -> None:
        self._session = session

    def down(self, session: Session) -> None:
        if self._session is session:
            self._session = None

    def _present(self) -> Peer:
        if self._session is None:
            raise SteadError("unavailable", "there is no link to the control plane")
        return self._session.peer


class Session:
    """One link from its challenge to its end: the handler of what the control plane says."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._since = 0.0
        self.lived = 0.0
        self.retry_after = 0.0
        self.peer: Peer

    async def run(self, peer: Peer) -> None:
        """Until the link is over."""
        self.peer = peer
        self._relay = Relay(peer)
        async with anyio.create_task_group() as group:
            group.start_soon(self._expect_welcome)
            await peer.run()
            group.cancel_scope.cancel()

    async def _expect_welcome(self) -> None:
        await anyio.sleep(HELLO_SECONDS)
        if not self._since:
            await self.peer.close("the control plane did not welcome this node")

    # --- stead.transport.peer.Handler

    async def request(self, peer: Peer, message: Request) -> Any:
        if not self._since:
            raise SteadError("conflict", "the hello comes first")
        match message:
            case Call():
                return await self._link.channels.call(message)
            case StreamOpen() | StreamResume():
                return await self._stream(peer, message)
            case Command():
                entry = await self._link.supervisor.accept(message)
                return {"phase": entry.phase}
            case CommandCancel():
                return {"cancelled": await self._link.supervisor.cancel(message.command_id)}
            case _:
                raise SteadError("method_not_found", "a node does not answer this")

    async def notice(self, peer: Peer, message: Message) -> None:
        try:
            await self._notice(peer, message)
        except SteadError as error:
            log.warning("a message was not handled: %s", error.message)
            await peer.close(error.code)

    async def _notice(self, peer: Peer, message: Message) -> None:
        match message:
            case Challenge():
                await peer.send(self._hello(message.nonce))
            case Welcome() if not self._since:
                agree(message.protocol)
                await self._welcome(peer, message)
            case Refused():
                log.warning("the control plane refused this node: %s", message.error.message)
                await peer.close(f"refused: {message.error.code}")
            case Drain():
                self._link.draining(message.draining)
            case GoAway():
                self.retry_after = message.retry_after
                peer.spawn(self._leave)
            case _:
                self._relay.notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self._relay.frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        """The guests are not told: links come back, and their streams with them."""
        log.info("the link is over: %s", reason)
        self._link.down(self)
        if self._since:
            self.lived = time.monotonic() - self._since
        for bound in self._relay.streams():
            self._link.cut[bound.near_id] = bound
            self._relay.unbind(bound.near_id)

    # --- what each means

    def _hello(self, nonce: str) -> NodeHello:
        link = self._link
        return NodeHello(
            node_id=link.identity.node_id,
            signature=link.identity.hello_signature(nonce),
            protocol=PROTOCOL,
            boot_id=link.host.boot_id,
            epoch=link.host.epoch,
            version=__version__,
            facts=link.host.facts,
            drivers=link.host.drivers,
            labels=link.settings.labels,
            max_workspaces=link.settings.max_workspaces,
        )

    async def _welcome(self, peer: Peer, message: Welcome) -> None:
        log.info("welcomed by the control plane %s, protocol %s", message.server_version, message.protocol)
        self._since = time.monotonic()
        self._link.up(self)
        await self._link.observer.at("link.welcomed", self._link.identity.node_id)
        for work in self._link.work:
            peer.spawn(work, peer, message.heartbeat_seconds)
        peer.spawn(self._give_up_streams)

    async def _stream(self, peer: Peer, message: StreamOpen | StreamResume) -> Any:
        """Binds the stream to the guest, then passes the message on; the ids stay the same."""
        message.frame_bytes = min(message.frame_bytes, BULK_BYTES)
        deadline = Deadline(message.timeout if isinstance(message, StreamOpen) else RESUMED_SECONDS)
        guest = await self._link.channels.peer(message.workspace_id, deadline.left)
        self._relay.bind(message.stream_id, guest, message.stream_id, message.workspace_id)
        self._link.cut.pop(message.stream_id, None)
        try:
            if isinstance(message, StreamOpen):
                return await opened(message, guest, deadline, grace=NODE_GRACE)
            return await guest.relay(message, deadline.left)
        except SteadError as error:
            if isinstance(error, UnansweredError):
                self._relay.abandon(message.stream_id)
            else:
                self._relay.unbind(message.stream_id)
            if error.code == "unavailable":
                raise SteadError("workspace_unreachable", "the link to the guest was lost") from None
            raise

    async def _give_up_streams(self) -> None:
        """Streams of an earlier link that nobody resumed over this one."""
        await anyio.sleep(RESUME_SECONDS)
        for name, bound in list(self._link.cut.items()):
            del self._link.cut[name]
            bound.far.tell(StreamDetached(stream_id=bound.far_id, workspace_id=bound.workspace_id))

    async def _leave(self) -> None:
        """The control plane goes away: what is under way may end, then we come back elsewhere or later."""
        await anyio.sleep(GOODBYE_SECONDS)
        await self.peer.close("the control plane went away")
