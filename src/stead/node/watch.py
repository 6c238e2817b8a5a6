"""Looks at the workspaces now and then, and tells what changed by itself.

Contract: `run()` until cancelled. Every `watch_seconds` each workspace that is to run is looked at; every `orphan_seconds` the
machine is searched for things nobody knows, and a new one causes an inventory. The journal is pruned here too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from stead.drivers.contract import Sight, Status
from stead.node.books import Books
from stead.node.journal import Journal, Record
from stead.node.settings import NodeSettings
from stead.protocol.errors import SteadError
from stead.protocol.messages import WorkspaceReport

log = logging.getLogger(__name__)
PRUNE_SECONDS = 3600.0
DAY = 86400.0

Changed = Callable[[WorkspaceReport], Awaitable[None]]
View = tuple[Sight, int, int]


class Watch:
    """What was seen last."""

    def __init__(
        self,
        books: Books,
        journal: Journal,
        settings: NodeSettings,
        changed: Changed,
        orphans: Callable[[], Awaitable[None]],
    ) -> None:
        self._books = books
        self._journal = journal
        self._settings = settings
        self._changed = changed
        self._orphans = orphans
        self._seen: dict[str, View] = {}
        self._strangers: set[str] = set()

    async def run(self) -> None:
        """All three, until cancelled. Forgetting begins at once: few nodes run for long on a laptop."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._every, self._settings.watch_seconds, self.look)
            group.start_soon(self._every, self._settings.orphan_seconds, self.search)
            group.start_soon(self._try, self.prune)
            group.start_soon(self._every, PRUNE_SECONDS, self.prune)

    async def look(self) -> None:
        """Tells of every workspace that is not as it was."""
        records = {record.workspace_id: record for record in self._books.all()}
        for gone in self._seen.keys() - records.keys():
            del self._seen[gone]
        for record in records.values():
            if record.wanted == "running" and record.workspace_id not in self._books.starting:
                await self._compare(record)

    async def search(self) -> None:
        """Tells of strangers that were not there before."""
        strangers = {found.workspace_id for _, found in await self._books.orphans()}
        new = strangers - self._strangers
        self._strangers = strangers
        if new:
            log.warning("%d things of ours are in no record", len(new))
            await self._orphans()

    async def prune(self) -> None:
        await self._journal.prune(time.time() - self._settings.keep_days * DAY)

    async def _compare(self, record: Record) -> None:
        status = await self._books.status(record)
        view = (status.sight, status.generation, status.guest_restarts)
        before = self._seen.get(record.workspace_id)
        if view == before or not self._still(record):
            return
        self._seen[record.workspace_id] = view
        if before is None and status.sight is Sight.RUNNING:
            return
        await self._tell(record, status)

    def _still(self, record: Record) -> bool:
        """Whether nothing was done to it while we looked."""
        return self._books.record(record.workspace_id) is record and record.workspace_id not in self._books.starting

    async def _tell(self, record: Record, status: Status) -> None:
        try:
            await self._changed(self._books.describe(record, status))
        except SteadError as error:
            log.debug("a change was not told: %s", error.message)
            self._seen.pop(record.workspace_id, None)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await anyio.sleep(seconds)
            await self._try(work)

    async def _try(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (SteadError, OSError) as error:
            log.warning("%s: %s", getattr(work, "__name__", "watch"), error)
