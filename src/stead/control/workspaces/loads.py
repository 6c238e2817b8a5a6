"""How many workspaces each node has, without counting the whole table for each new one.

Contract: `now(conn)` are the numbers, counted `anew(conn)` when the last count is older than twenty times what it took;
`placed(node_id)` adds one placed meanwhile. Used by units only, which never run at the same time.
"""

from __future__ import annotations

import time

from stead.control.store import workspaces
from stead.control.store.rows import Connection

SHARE = 20.0
"""Counting takes at most one part in so many of the time."""


class Loads:
    """The numbers of one process."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._until = 0.0

    def now(self, conn: Connection) -> dict[str, int]:
        """By node."""
        return self.anew(conn) if time.monotonic() >= self._until else self._counts

    def anew(self, conn: Connection) -> dict[str, int]:
        """By node, as the table has it."""
        began = time.monotonic()
        self._counts = workspaces.count_by_node(conn)
        ended = time.monotonic()
        self._until = ended + (ended - began) * SHARE
        return self._counts

    def placed(self, node_id: str) -> None:
        """One more; a unit that is undone is corrected by the next count."""
        self._counts[node_id] = self._counts.get(node_id, 0) + 1
