"""Who is connected now, and the latest of what each node says of itself. In memory; the database gets a digest.

Contract: `link(node_id) -> Peer` raises "node_unreachable"; `online(node_id)`: connected, or silent for less than 45 s.
`attach` and `detach` belong to the node link; `candidates()` is what placement chooses from; `watch()` tells the database
and the watchers of nodes that went silent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import msgspec

from stead.control.store.rows import Row
from stead.model.placement import Candidate
from stead.protocol.errors import SteadError
from stead.protocol.messages import DriverFacts, Facts, Health
from stead.transport.peer import Peer

SILENCE = 45.0
"""Seconds without a word after which a node is offline."""


class Known(msgspec.Struct, kw_only=True):
    """What is remembered of a node that is, or lately was, connected."""

    node_id: str
    name: str
    labels: dict[str, str]
    drivers: list[DriverFacts]
    max_workspaces: int
    draining: bool
    cpus: int
    memory_bytes: int
    peer: Peer | None = None
    heard: float = 0.0
    health: Health | None = None
    unsaved: bool = False

    def candidate(self, workspaces: int) -> Candidate:
        """For placement."""
        return Candidate(
            node_id=self.node_id,
            name=self.name,
            draining=self.draining,
            labels=self.labels,
            drivers=self.drivers,
            max_workspaces=self.max_workspaces,
            workspaces=workspaces,
            cpus=self.cpus,
            memory_bytes=self.memory_bytes,
            load1=self.health.load1 if self.health else 0.0,
        )


def known_of(
    row: Row[Any], labels: dict[str, str], drivers: list[DriverFacts], facts: Facts | None, most: int
) -> Known:
    """What is remembered of a node: its row, and what it said of itself."""
    return Known(
        node_id=row.id,
        name=row.name,
        labels=labels | row.labels,
        drivers=drivers,
        max_workspaces=most if row.max_workspaces is None else row.max_workspaces,
        draining=row.draining,
        cpus=facts.cpus if facts else 0,
        memory_bytes=facts.memory_bytes if facts else 0,
    )


class NodeRegistry:
    """The links of this process."""

    def __init__(self, clock: Callable[[], float] = time.time, silence: float = SILENCE) -> None:
        self._clock = clock
        self._silence = silence
        self._known: dict[str, Known] = {}

    def link(self, node_id: str) -> Peer:
        """The node's link."""
        known = self._known.get(node_id)
        if known is None or known.peer is None:
            raise SteadError("node_unreachable", "the node is not connected")
        return known.peer

    def connected(self) -> set[str]:
        return {known.node_id for known in list(self._known.values()) if known.peer is not None}

    def is_connected(self, node_id: str) -> bool:
        known = self._known.get(node_id)
        return known is not None and known.peer is not None

    def online(self, node_id: str) -> bool:
        known = self._known.get(node_id)
        return known is not None and (known.peer is not None or self._clock() - known.heard < self._silence)

    def get(self, node_id: str) -> Known | None:
        return self._known.get(node_id)

    def candidates(self, counts: dict[str, int], most: int | None = None) -> list[Candidate]:
        """The nodes that are online, with the number of their workspaces; any `most` of them where there are more."""
        known = list(self._known.values())
        if most is not None and len(known) > most:
            known = random.sample(known, most)
        return [each.candidate(counts.get(each.node_id, 0)) for each in known if self.online(each.node_id)]

    async def cut(self, node_id: str) -> None:
        """Closes the node's link; it may come back if it still has the right."""
        known = self._known.get(node_id)
        if known is not None and known.peer is not None:
            await known.peer.close()

    # --- for the node link -----------------------------------------------------------------------------------------

    def remember(self, known: Known) -> Known | None:
        """A node said hello, or was online when this process started. Answers what was known of it before."""
        before = self._known.get(known.node_id)
        if before is not None and known.health is None:
            known.health = before.health
        known.heard = self._clock()
        self._known[known.node_id] = known
        return before

    def heard(self, node_id: str, health: Health | None = None) -> None:
        """The node spoke."""
        known = self._known.get(node_id)
        if known is not None:
            known.heard = self._clock()
            known.unsaved = True
            known.health = health or known.health

    def detach(self, node_id: str, peer: Peer, silent: float = 0.0) -> bool:
        """The link is over, after so many seconds of silence; False when another has taken its place."""
        known = self._known.get(node_id)
        if known is None or known.peer is not peer:
            return False
        known.peer = None
        known.heard = self._clock() - silent
        known.unsaved = True
        return True

    def forget(self, node_id: str) -> None:
        """The node is removed."""
        self._known.pop(node_id, None)

    # --- for the watch ---------------------------------------------------------------------------------------------

    def take_silent(self) -> list[Known]:
        """Forgets and answers the nodes that were silent for too long."""
        silent = [known for known in list(self._known.values()) if not self.online(known.node_id)]
        for known in silent:
            del self._known[known.node_id]
        return silent

    def take_unsaved(self) -> list[Known]:
        """The nodes with something new for the database."""
        found = [known for known in list(self._known.values()) if known.unsaved]
        for known in found:
            known.unsaved = False
        return found
