"""The audit log's rows: appended, never changed.

Contract: `append(conn, entries)` and `page(conn, ...)` are units for the store; a cursor is the entry's number as text.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from stead.api.types import AuditEntry, AuditPage
from stead.control.store.later import later
from stead.control.store.prepared import Prepared
from stead.control.store.schema import audit
from stead.protocol.errors import SteadError

_COLUMNS = ("id", "at", "actor", "via", "action", "subject", "outcome", "details")
_INSERT = Prepared(insert(audit).inline(), _COLUMNS)


def append(conn: Connection, entries: Sequence[AuditEntry]) -> None:
    """Adds entries in their order."""
    for entry in entries:
        later(conn, _INSERT, {name: getattr(entry, name) for name in _COLUMNS})


def page(conn: Connection, actor: str, subject: str, action: str, after: str, limit: int) -> AuditPage:
    """Newest first; empty words match everything."""
    query = select(audit).order_by(audit.c.seq.desc()).limit(limit + 1)
    for column, value in ((audit.c.actor, actor), (audit.c.subject, subject), (audit.c.action, action)):
        if value:
            query = query.where(column == value)
    if after:
        if not (after.isascii() and after.isdigit() and len(after) <= 18):
            raise SteadError("invalid", "after: not a cursor of this list")
        query = query.where(audit.c.seq < int(after))
    rows = conn.execute(query).all()
    items = [
        AuditEntry(
            id=row.id,
            at=row.at,
            actor=row.actor,
            via=row.via,
            action=row.action,
            subject=row.subject,
            outcome=row.outcome,
            details=row.details,
        )
        for row in rows[:limit]
    ]
    return AuditPage(items=items, next=str(rows[limit - 1].seq) if len(rows) > limit else "")
