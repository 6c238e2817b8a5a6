"""What changed, in order: appended in the same unit as the change itself, read after a cursor, announced by hints.

Contract: `append(conn, kind, subject, owner, data)`; `page(conn, caller, subject, after, limit) -> EventPage`. A cursor
is the event's number as text; events are seen in the order of their cursors. The owner `EVERYONE` is for all users, an
empty one for administrators. `Hints` wakes watchers after a commit: take `mark()` BEFORE reading, wait on it when the
read brought nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

import anyio
from sqlalchemy import Connection, bindparam, func, or_, select

from stead.api.types import Event, EventPage
from stead.control.people.caller import Caller
from stead.control.store.later import later
from stead.control.store.prepared import Prepared
from stead.control.store.schema import events
from stead.control.store.units import long, quick
from stead.protocol.errors import SteadError

EVENTS = "stead_events"
EVERYONE = "*"
DIGITS = 18
PAUSE = 0.02
"""Seconds between two announcements: many commits wake the watchers once."""

_INSERT = Prepared(events.insert().inline(), ("at", "kind", "subject", "owner", "data"))


def _page(*, of_subject: bool, of_owner: bool) -> Prepared:
    query = select(events).where(events.c.seq > bindparam("after")).order_by(events.c.seq).limit(bindparam("most"))
    if of_subject:
        query = query.where(events.c.subject == bindparam("about"))
    if of_owner:
        query = query.where(or_(events.c.owner == bindparam("mine"), events.c.owner == EVERYONE))
    return Prepared(query)


_PAGES = {pair: _page(of_subject=pair[0], of_owner=pair[1]) for pair in itertools.product((False, True), repeat=2)}


class Hints:
    """Wakes whoever waits for new events; a hint may be spurious, never missing."""

    def __init__(self) -> None:
        self._next = anyio.Event()
        self._last = 0.0
        self._later = False

    def mark(self) -> anyio.Event:
        """Set at the next announcement."""
        return self._next

    def announce(self) -> None:
        """Something was committed: told at once after a pause, else with what follows within it."""
        loop = asyncio.get_running_loop()
        wait = self._last + PAUSE - loop.time()
        if wait <= 0:
            self._tell()
        elif not self._later:
            self._later = True
            loop.call_later(wait, self._tell)

    def _tell(self) -> None:
        self._later = False
        self._last = asyncio.get_running_loop().time()
        self._next, now = anyio.Event(), self._next
        now.set()


def append(conn: Connection, kind: str, subject: str, owner: str, data: dict[str, Any]) -> None:
    """One more event, announced once this unit is committed."""
    append_all(conn, [(kind, subject, owner, data)])


def append_all(conn: Connection, told: Sequence[tuple[str, str, str, dict[str, Any]]]) -> None:
    """Several at once: kind, subject, owner, data."""
    now = time.time()
    for kind, subject, owner, data in told:
        later(conn, _INSERT, {"at": now, "kind": kind, "subject": subject, "owner": owner, "data": data})
        conn.info[EVENTS] = True


@quick
def page(conn: Connection, caller: Caller, subject: str, after: str, limit: int) -> EventPage:
    """The events that the caller may see after the cursor, oldest first. `next` is where to go on, also when empty."""
    query = _PAGES[bool(subject), not caller.is_admin]
    values = {"after": _number(after), "most": limit, "about": subject, "mine": caller.user_id}
    items = [
        Event(cursor=str(row.seq), at=row.at, kind=row.kind, subject=row.subject, data=row.data)
        for row in query.all(conn, values)
    ]
    return EventPage(items=items, next=items[-1].cursor if items else after)


@quick
def latest(conn: Connection) -> str:
    """The cursor of the newest event."""
    return str(conn.execute(select(func.max(events.c.seq))).scalar() or 0)


@long
def forget(conn: Connection, before: float, limit: int) -> int:
    """Removes what is older; answers how many. The newest stays, so that numbers go on."""
    newest = select(func.max(events.c.seq)).scalar_subquery()
    old = select(events.c.seq).where(events.c.at < before, events.c.seq < newest).limit(limit)
    return conn.execute(events.delete().where(events.c.seq.in_(old))).rowcount


def _number(cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > DIGITS:
        raise SteadError("invalid", "after: not a cursor of an event")
    return int(cursor)
