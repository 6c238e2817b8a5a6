"""Whether the server has everything it starts with: with an embedded node, that node's link.

Contract: `ready` is what `/health` tells; a server without an embedded node is ready at once. A node that does not come
within `PATIENCE` is no reason to call a server that answers unready.
"""

from __future__ import annotations

import anyio

from stead.control.nodes.registry import NodeRegistry

PATIENCE = 60.0
LOOK_EVERY = 0.02


class Readiness:
    """Told once, then for ever."""

    def __init__(self) -> None:
        self.ready = True

    async def await_node(self, registry: NodeRegistry) -> None:
        """Unready until a node is connected."""
        self.ready = False
        with anyio.move_on_after(PATIENCE):
            while not registry.connected():
                await anyio.sleep(LOOK_EVERY)
        self.ready = True
