"""The WebSocket handshake of the server; after it, links take the transport over (`stead.transport.websocket.accept`).

Contract: `Upgrade` is a protocol class for uvicorn.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stead.transport.websocket import HANDOVER


class Upgrade(WebSocketsSansIOProtocol):
    """Offers itself in the scope."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.handshake_complete:
            self.scope["extensions"][HANDOVER] = self  # type: ignore[assignment]
