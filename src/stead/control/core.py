"""The control core as one thing for the composition root: registry, services, node links, background work on one store.

Contract: `core = Core(store, approve_nodes=..., streams=...)`; `await core.run()` works until it is cancelled
(dispatcher, reconciler, watch, retention); the services are usable as soon as the object exists.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio

from stead.control.commands.dispatcher import Dispatcher
from stead.control.commands.service import Commands
from stead.control.nodes.link import NodeLinks
from stead.control.nodes.registry import NodeRegistry
from stead.control.nodes.service import Nodes
from stead.control.nodes.streams import Streams
from stead.control.nodes.watch import NodeWatch
from stead.control.store import retention
from stead.control.store.store import Store
from stead.control.workspaces.reconciler import Reconciler
from stead.control.workspaces.service import Workspaces

log = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
RESTART_SECONDS = 1.0


class Core:
    """All of it."""

    def __init__(
        self, store: Store, *, streams: Streams | None = None, approve_nodes: bool = False, history_days: float = 30.0
    ) -> None:
        self.store = store
        self.registry = NodeRegistry()
        self.dispatcher = Dispatcher(store, self.registry)
        self.reconciler = Reconciler(store, self.registry, self.dispatcher)
        self.workspaces = Workspaces(store, self.registry, self.dispatcher)
        self.nodes = Nodes(store, self.registry, approve_nodes)
        self.commands = Commands(store, self.registry, self.dispatcher)
        self.links = NodeLinks(store, self.registry, self.dispatcher, self.reconciler, streams)
        self.watch = NodeWatch(store, self.registry)
        self._history_days = history_days

    async def run(self) -> None:
        """Works until cancelled; the latest figures are kept at the end."""
        await self.watch.load()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_for_ever, "the dispatcher", self.dispatcher.run)
                group.start_soon(_for_ever, "the reconciler", self.reconciler.run)
                group.start_soon(_for_ever, "the watch over nodes", self.watch.run)
                group.start_soon(_for_ever, "retention", self._forget)
        finally:
            with anyio.move_on_after(SAVE_SECONDS, shield=True):
                await self.watch.save()

    async def _forget(self) -> None:
        await retention.run(self.store, self._history_days)


async def _for_ever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """A bug in one part is told in the log and does not end the others."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("%s failed and is started again", name)
        await anyio.sleep(RESTART_SECONDS)
