"""The two WebSocket addresses: `/api/v1/link` for clients, `/api/v1/nodes/connect` for nodes.

Contract: each is `async (scope, receive, send)`; what is refused before the upgrade is raised as a SteadError, which the
door answers.
"""

from __future__ import annotations

from stead.control.http.asgi import ASGIApp, Receive, Scope, Send
from stead.control.http.auth import Gate
from stead.control.http.scope import header
from stead.control.nodes.link import NodeLinks
from stead.control.streams.clientlink import ClientLinks
from stead.protocol.errors import SteadError
from stead.transport import websocket


def client_socket(gate: Gate, links: ClientLinks) -> ASGIApp:
    """Clients: by token, or with a ticket."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        known = await gate.admit_link(scope)
        links.check_room(known)
        await links.serve(await websocket.accept(receive, send, scope), known)

    return serve


def node_socket(links: NodeLinks) -> ASGIApp:
    """Nodes: they prove their key on the link itself. No page is a node."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if header(scope, b"origin") is not None:
            raise SteadError("origin_refused", "a browser is no node")
        await links.serve(await websocket.accept(receive, send, scope))

    return serve
