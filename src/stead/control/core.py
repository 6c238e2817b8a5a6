"""The control core as one thing for the composition root: store, registry, services, background work.

Contract: `core = Core(store, approve_nodes=..., streams=...)`; `await core.run()` in a task group works until it is
cancelled (dispatcher, reconciler, watches, retention); the services are usable as soon as the object exists.
"""

from __future__ import annotations

from stead.control.commands.service import Commands
from stead.control.nodes.link import NodeLinks
from stead.control.nodes.registry import NodeRegistry
from stead.control.nodes.service import Nodes
from stead.control.nodes.streams import Streams
from stead.control.store.store import Store
from stead.control.workspaces.service import Workspaces


class Core:
    """All of it."""

    store: Store
    registry: NodeRegistry
    workspaces: Workspaces
    nodes: Nodes
    commands: Commands
    links: NodeLinks

    def __init__(
        self, store: Store, *, streams: Streams | None = None, approve_nodes: bool = False, history_days: float = 30.0
    ) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        """Works until cancelled."""
        raise NotImplementedError
