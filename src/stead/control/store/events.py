"""What changed, in order: appended in the same unit as the change itself, read after a cursor, announced by hints.

Contract: `append(conn, kind, subject, owner, data)`; `page(conn, caller, subject, after, limit) -> EventPage`. A cursor is
the event's number as text; events are seen in the order of their cursors. An empty owner: administrators only.
`Hints` wakes watchers after a commit: take `mark()` BEFORE reading, wait on it when the read brought nothing.
"""

from __future__ import annotations

from typing import Any

import anyio
from sqlalchemy import Connection

from stead.api.types import EventPage
from stead.control.people.caller import Caller


class Hints:
    """Wakes whoever waits for new events; a hint may be spurious, never missing."""

    def __init__(self) -> None:
        self._next = anyio.Event()

    def mark(self) -> anyio.Event:
        """Set at the next announcement."""
        return self._next

    def announce(self) -> None:
        """Something was committed."""
        self._next, now = anyio.Event(), self._next
        now.set()


def append(conn: Connection, kind: str, subject: str, owner: str, data: dict[str, Any]) -> None:
    """One more event, announced once this unit is committed."""
    raise NotImplementedError


def page(conn: Connection, caller: Caller, subject: str, after: str, limit: int) -> EventPage:
    """The events that the caller may see after the cursor, oldest first. `next` is where to go on, also when empty."""
    raise NotImplementedError


def latest(conn: Connection) -> str:
    """The cursor of the newest event."""
    raise NotImplementedError
