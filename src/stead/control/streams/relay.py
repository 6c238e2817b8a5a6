"""The node links as the relay of streams sees them.

Contract: `NodeStreams` is what `stead.control.nodes.streams.Streams` asks for. `link(node_id)` is the node's peer or
"node_unreachable". Frames and notices from a node reach the client links whose streams were opened there, by ids that only
this relay gave out.
"""

from __future__ import annotations

from typing import Any

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import Message, Request
from stead.transport.peer import Peer
from stead.transport.relay import Relay


class NodeStreams:
    """The far sides of all client links."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}
        self._relays: dict[str, Relay] = {}

    def link(self, node_id: str) -> Peer:
        """The node's link."""
        peer = self._peers.get(node_id)
        if peer is None:
            raise SteadError("node_unreachable", "the workspace's node is not connected")
        return peer

    async def attached(self, node_id: str, peer: Peer) -> None:
        """The node's link is up (again); it takes the place of an older one."""
        await self.detached(node_id)
        self._peers[node_id] = peer
        self._relays[node_id] = Relay(peer)

    async def detached(self, node_id: str) -> None:
        """The node's link is gone; it may come back."""
        if self._peers.pop(node_id, None) is not None:
            self._relays.pop(node_id).closed()

    def frame(self, node_id: str, frame: Frame) -> None:
        """A frame from the node; must not block."""
        if (peer := self._peers.get(node_id)) is not None:
            self._relays[node_id].frame(peer, frame)

    async def notice(self, node_id: str, message: Message) -> None:
        """What a node says of a stream."""
        if (peer := self._peers.get(node_id)) is not None:
            self._relays[node_id].notice(peer, message)

    async def request(self, node_id: str, message: Request) -> Any:
        """Nodes ask nothing of clients: openers resume."""
        del node_id
        raise SteadError("method_not_found", f"a node does not ask {type(message).__name__} of a client")
