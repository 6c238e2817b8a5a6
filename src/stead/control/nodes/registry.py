"""Who is connected now.

Contract: `link(node_id) -> Peer` raises "node_unreachable"; `online(node_id)`: connected, or silent for less than 45 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stead.transport.peer import Peer


class NodeRegistry:
    """The links of this process and the latest figures of each node."""

    def link(self, node_id: str) -> Peer:
        raise NotImplementedError

    def connected(self) -> set[str]:
        raise NotImplementedError

    def online(self, node_id: str) -> bool:
        raise NotImplementedError

    async def cut(self, node_id: str) -> None:
        """Closes the node's link; it may come back if it still has the right."""
        raise NotImplementedError
