"""The whole life of one node link: challenge, hello, welcome, then messages until it closes.

Contract: `await links.serve(messages)` returns when the link is over; it never raises for what the node does.
"""

from __future__ import annotations

from stead.protocol.connections import Messages


class NodeLinks:
    """Serves the links of all nodes."""

    async def serve(self, messages: Messages) -> None:
        raise NotImplementedError
