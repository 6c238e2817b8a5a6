"""The whole life of one node link: challenge, hello, welcome, then messages until it closes.

Contract: `await links.serve(messages)` returns when the link is over; it never raises for what the node does. A node is
who its key proves; it speaks only for its own workspaces and commands, and what it says of others is refused and logged.
A new link of the same node takes the place of the old one; a lower epoch than one seen before is refused.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec

import stead
from stead.control.commands.dispatcher import Dispatcher
from stead.control.nodes.keys import verify
from stead.control.nodes.registry import Known, NodeRegistry, known_of
from stead.control.nodes.streams import Streams
from stead.control.store import events, nodes
from stead.control.store.rows import Connection
from stead.control.store.store import Store
from stead.control.workspaces.checks import check_labels
from stead.control.workspaces.reconciler import Reconciler
from stead.protocol import codec
from stead.protocol.connections import Messages
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import (
    Challenge,
    CommandProgress,
    CommandResult,
    Drain,
    Health,
    Inventory,
    Message,
    NodeHello,
    Refused,
    Request,
    StreamDetached,
    StreamLost,
    StreamResume,
    Welcome,
    WorkspaceChanged,
    WorkspaceReport,
)
from stead.protocol.version import agree
from stead.transport.peer import DEFAULT as LIMITS
from stead.transport.peer import Peer

log = logging.getLogger(__name__)

HELLO_SECONDS = 15.0
MOST_REPORTS = 100_000
MOST_DRIVERS = 32
LARGEST_EPOCH = 2**63 - 1
LARGEST_COUNT = 2**31 - 1
"""What the database takes."""
REFUSED = 4403
REFUSED_SECONDS = 60.0


class NodeLinks:
    """Serves the links of all nodes."""

    def __init__(
        self,
        store: Store,
        registry: NodeRegistry,
        dispatcher: Dispatcher,
        reconciler: Reconciler,
        streams: Streams | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.registry = registry
        self.dispatcher = dispatcher
        self.reconciler = reconciler
        self.streams = streams
        self.clock = clock
        self._boot_id = secrets.token_hex(8)

    async def serve(self, messages: Messages) -> None:
        """From the challenge to the end."""
        try:
            known, key = await self._greet(messages)
        except SteadError as error:
            await _refuse(messages, error)
            return
        peer = Peer(messages, _NodeLink(self, known.node_id), name=f"node {known.name}")
        known.peer = peer
        before = self.registry.remember(known)
        if before is not None and before.peer is not None:
            await before.peer.close("another link of the same node took its place")
        if not await self._still_may(known.node_id, key):
            await peer.close("the node's key was replaced or the node removed meanwhile")
        await self._attached(known, peer)
        await peer.run()

    async def _attached(self, known: Known, peer: Peer) -> None:
        """What waited for the node goes out as soon as the link runs."""
        if known.draining:
            peer.tell(Drain(draining=True))
        if self.streams is not None:
            await self.streams.attached(known.node_id, peer)
        self.dispatcher.replay(known.node_id)

    async def _still_may(self, node_id: str, key: str) -> bool:
        """Whether the proof still holds, now that whoever takes the right away would find the link and cut it."""
        try:
            row = await self.store.read(nodes.by_id, node_id)
        except SteadError:
            return False
        return row is not None and row.approved and row.public_key == key

    async def _greet(self, messages: Messages) -> tuple[Known, str]:
        """Who it is, proved by which key, and recorded; the node is told that it is welcome."""
        nonce = secrets.token_urlsafe(24)
        await messages.send(codec.encode(Challenge(nonce=nonce)).decode())
        hello = await _hello(messages)
        version = agree(hello.protocol)
        check_labels(hello.labels, "labels")
        if len(hello.drivers) > MOST_DRIVERS:
            raise SteadError("invalid", f"drivers: at most {MOST_DRIVERS}")
        if not (0 <= hello.epoch <= LARGEST_EPOCH and 0 <= hello.max_workspaces <= LARGEST_COUNT):
            raise SteadError("invalid", f"epoch: 0 to {LARGEST_EPOCH}, max_workspaces: 0 to {LARGEST_COUNT}")
        row = await self.store.read(nodes.by_id, hello.node_id)
        if row is None:
            raise SteadError("unauthenticated", "the node's proof is not valid")
        verify(row.public_key, hello.signature, f"stead-node-hello:{nonce}:{hello.node_id}")
        known = await self.store.write(_accept, hello, version, self.clock())
        welcome = Welcome(protocol=version, boot_id=self._boot_id, server_version=stead.__version__)
        await messages.send(codec.encode(welcome).decode())
        return known, row.public_key


async def _hello(messages: Messages) -> NodeHello:
    with anyio.move_on_after(HELLO_SECONDS):
        data = await messages.receive()
        if not isinstance(data, str):
            raise SteadError("malformed", "the first message of a node is node.hello")
        message = codec.decode(data)
        if not isinstance(message, NodeHello):
            raise SteadError("malformed", "the first message of a node is node.hello")
        return message
    raise SteadError("timeout", "no node.hello came")


async def _refuse(messages: Messages, error: SteadError) -> None:
    log.info("a node link was refused: %s: %s", error.code, error.message)
    try:
        await messages.send(codec.encode(Refused(error=error.fault())).decode())
        await messages.close(REFUSED, error.code)
    except SteadError:
        log.debug("the refused node was gone already")


def _accept(conn: Connection, hello: NodeHello, version: str, now: float) -> Known:
    """Writes down what the node says of itself, unless it may not come or is an older life of itself."""
    row = nodes.by_id(conn, hello.node_id)
    if row is None:
        raise SteadError("unauthenticated", "the node's proof is not valid")
    if not row.approved:
        raise SteadError("approval_needed", f"the node {row.name} waits for approval")
    if hello.epoch < row.epoch:
        raise SteadError("conflict", f"epoch {hello.epoch} is over: the node was seen with epoch {row.epoch}")
    said = {
        "said_labels": hello.labels,
        "said_max": hello.max_workspaces,
        "facts": hello.facts,
        "drivers": hello.drivers,
        "software": hello.version,
        "protocol": version,
        "boot_id": hello.boot_id,
        "epoch": hello.epoch,
        "last_seen": now,
    }
    nodes.greet(conn, row.id, said)
    events.append(conn, "node.online", row.id, events.EVERYONE, {"name": row.name, "version": hello.version})
    return known_of(row, hello.labels, hello.drivers, hello.facts, hello.max_workspaces)


class _NodeLink:
    """The handler of one link."""

    __slots__ = ("_collected", "_inventory_id", "_links", "_node_id", "_refused")

    def __init__(self, links: NodeLinks, node_id: str) -> None:
        self._links = links
        self._node_id = node_id
        self._inventory_id = ""
        self._collected: list[WorkspaceReport] = []
        self._refused = 0.0

    async def request(self, peer: Peer, message: Request) -> Any:
        try:
            return await self._request(message)
        except SteadError as error:
            if error.code == "forbidden":
                await self._tell_refused(peer, error)
            raise

    async def _tell_refused(self, peer: Peer, error: SteadError) -> None:
        """The log tells each time, the events once in a while: a node must not fill the database."""
        log.warning("%s spoke for what is not its own: %s", peer.name, error.message)
        now = self._links.clock()
        if now - self._refused >= REFUSED_SECONDS:
            self._refused = now
            told = {"message": error.message}
            await self._links.store.write(events.append, "node.refused", self._node_id, "", told)

    async def _request(self, message: Request) -> Any:
        self._links.registry.heard(self._node_id)
        match message:
            case CommandResult():
                await self._links.dispatcher.result(self._node_id, message)
            case WorkspaceChanged():
                await self._links.reconciler.changed(self._node_id, message.report)
            case Inventory():
                await self._inventory(message)
            case StreamResume() if self._links.streams is not None:
                return await self._links.streams.request(self._node_id, message)
            case _:
                raise SteadError("method_not_found", "a node does not ask this")
        return None

    async def _inventory(self, message: Inventory) -> None:
        """Pages come in order on one link; another id starts anew."""
        if message.inventory_id != self._inventory_id or message.page == 0:
            self._inventory_id, self._collected = message.inventory_id, []
        if len(self._collected) + len(message.workspaces) > MOST_REPORTS:
            raise SteadError("too_large", f"an inventory has at most {MOST_REPORTS} workspaces")
        self._collected += message.workspaces
        if message.last:
            whole, self._collected = self._collected, []
            await self._links.reconciler.inventory(self._node_id, whole)

    async def notice(self, peer: Peer, message: Message) -> None:
        match message:
            case Health():
                self._links.registry.heard(self._node_id, msgspec.structs.replace(message, active={}))
            case CommandProgress():
                self._links.dispatcher.progress(self._node_id, message)
            case StreamDetached() | StreamLost() if self._links.streams is not None:
                await self._links.streams.notice(self._node_id, message)
            case _:
                log.debug("%s sent what a node does not send: %s", peer.name, type(message).__name__)

    def frame(self, peer: Peer, frame: Frame) -> None:
        if self._links.streams is not None:
            self._links.streams.frame(self._node_id, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        silent = LIMITS.silence_seconds if reason.startswith("nothing was heard") else 0.0
        if self._links.registry.detach(self._node_id, peer, silent):
            log.info("%s is gone: %s", peer.name, reason)
            if self._links.streams is not None:
                await self._links.streams.detached(self._node_id)
