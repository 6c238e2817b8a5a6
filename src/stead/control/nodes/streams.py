"""What a node link needs of whoever relays the streams of clients.

Contract: `Streams` is implemented by `stead.control.streams` and handed to `NodeLinks`. Everything that a node sends and
that is not about commands, workspaces or health arrives here; the receiver checks that the stream is of this node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stead.protocol.frames import Frame
    from stead.protocol.messages import Message, Request
    from stead.transport.peer import Peer


class Streams(Protocol):
    """The other side of the relay."""

    async def attached(self, node_id: str, peer: Peer) -> None:
        """The node's link is up (again): streams of its workspaces may resume."""

    async def detached(self, node_id: str) -> None:
        """The node's link is gone; it may come back."""

    def frame(self, node_id: str, frame: Frame) -> None:
        """A frame from the node; must not block."""

    async def notice(self, node_id: str, message: Message) -> None:
        """`stream.detached`, `stream.lost`."""

    async def request(self, node_id: str, message: Request) -> Any:
        """`stream.resume` from a guest; the result goes back in the ack."""
