"""Notices nodes that went silent, and gives the database a digest of what the registry holds.

Contract: `load()` at start: nodes heard of just before count as online until they had time to come back; `run()` looks
every few seconds; `save()` writes the latest figures and is called each minute and at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec

from stead.control.nodes.registry import Known, NodeRegistry, known_of
from stead.control.nodes.views import figures
from stead.control.store import events, nodes
from stead.control.store.rows import Connection
from stead.control.store.store import Store
from stead.control.store.units import long
from stead.protocol.errors import SteadError
from stead.protocol.messages import DriverFacts, Facts

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
SAVE_SECONDS = 60.0
RECENT_SECONDS = 150.0
AT_ONCE = 500


class NodeWatch:
    """The watch over all nodes."""

    def __init__(self, store: Store, registry: NodeRegistry, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._saved = clock()

    async def load(self) -> None:
        """After a restart nothing is offline before it had time to come back."""
        for known in await self._store.read(_recent, self._clock() - RECENT_SECONDS):
            if self._registry.get(known.node_id) is None:
                self._registry.remember(known)

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            await self.look()
            if self._clock() - self._saved >= SAVE_SECONDS:
                await self.save()

    async def look(self) -> None:
        """Tells of nodes that went silent."""
        if silent := self._registry.take_silent():
            try:
                await self._store.write(_offline, silent)
            except SteadError as error:
                log.warning("nodes went offline and the database does not know: %s", error.message)

    async def save(self) -> None:
        """The latest figures of all nodes that spoke."""
        self._saved = self._clock()
        rows = [
            _digest(known, known.heard if known.peer is None else self._saved)
            for known in self._registry.take_unsaved()
        ]
        try:
            for start in range(0, len(rows), AT_ONCE):
                await self._store.write(nodes.remember, rows[start : start + AT_ONCE])
        except SteadError as error:
            log.warning("the figures of nodes could not be kept: %s", error.message)


def _recent(conn: Connection, since: float) -> list[Known]:
    return [
        known_of(
            row,
            row.said_labels,
            msgspec.convert(row.drivers, list[DriverFacts]),
            None if row.facts is None else msgspec.convert(row.facts, Facts),
            row.said_max,
        )
        for row in nodes.seen_since(conn, since)
        if row.approved
    ]


@long
def _offline(conn: Connection, silent: list[Known]) -> None:
    for known in silent:
        events.append(conn, "node.offline", known.node_id, events.EVERYONE, {"name": known.name})
    nodes.remember(conn, [_digest(known, known.heard) for known in silent])


def _digest(known: Known, at: float) -> dict[str, Any]:
    return {
        "wanted": known.node_id,
        "at": at,
        "figures": None if known.health is None else figures(known.health),
    }
