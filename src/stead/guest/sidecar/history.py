"""What commands that came over HTTP printed: the last of it, in memory.

Contract: `History.add(...)` keeps an entry and tells whoever waits. The oldest go when there are too many or too much, and are
counted. `after(id)` and `last(count)` give entries; ids rise by one. Pure but for the event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal

import msgspec

ENTRIES = 10_000
BYTES = 50 << 20
OVERHEAD = 100
"""What an entry weighs beside its text."""

Kind = Literal["stdout", "stderr", "command", "system"]


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One piece."""

    id: int
    timestamp: float
    data: str
    type: Kind
    process_id: str


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    """How full it is."""

    total_entries: int
    memory_usage: int
    dropped_count: int
    oldest_timestamp: float | None
    newest_timestamp: float | None


class History:
    """The entries of one guest."""

    def __init__(self, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._limit = entries
        self._most = size
        self._entries: deque[Entry] = deque()
        self._size = 0
        self._dropped = 0
        self._next = 1
        self._more = asyncio.Event()

    def add(self, kind: Kind, data: str, process_id: str, now: float) -> None:
        """Keeps it; makes room where there is none."""
        self._entries.append(Entry(self._next, now, data, kind, process_id))
        self._next += 1
        self._size += _weight(data)
        while self._entries and (len(self._entries) > self._limit or self._size > self._most):
            self._size -= _weight(self._entries.popleft().data)
            self._dropped += 1
        more, self._more = self._more, asyncio.Event()
        more.set()

    def last(self, count: int) -> list[Entry]:
        """The newest so many, oldest first."""
        return list(self._entries)[-count:] if count else []

    def after(self, id: int, count: int = ENTRIES) -> list[Entry]:
        """Those after this one."""
        return [entry for entry in self._entries if entry.id > id][:count]

    async def more(self, id: int) -> list[Entry]:
        """Those after this one; waits for one."""
        while not (found := self.after(id)):
            await self._more.wait()
        return found

    def clear(self) -> None:
        """Forgets all; ids go on."""
        self._entries.clear()
        self._size = 0

    def stats(self) -> Stats:
        oldest = self._entries[0].timestamp if self._entries else None
        newest = self._entries[-1].timestamp if self._entries else None
        return Stats(len(self._entries), self._size, self._dropped, oldest, newest)


def _weight(data: str) -> int:
    return 2 * len(data) + OVERHEAD
