"""The rows of answers kept for Idempotency-Keys.

Contract: `claim` says in one unit whether the caller is the first with this key, is given a kept answer, or is refused
("key_reused", "in_progress"). A claim of another process's life was interrupted and may be taken over.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, bindparam, select, text, update
from sqlalchemy import delete as delete_from

from stead.api.types import AuditEntry
from stead.control.store import audits
from stead.control.store.later import later
from stead.control.store.prepared import Prepared
from stead.control.store.schema import idempotency
from stead.control.store.units import long
from stead.protocol.errors import SteadError

DONE = "done"

_AT = (idempotency.c.user_id == bindparam("who")) & (idempotency.c.key == bindparam("what"))
_FIND = Prepared(select(idempotency).where(_AT))
_INSERT = Prepared(
    text(
        "INSERT INTO idempotency (user_id, key, fingerprint, state, created)"
        " VALUES (:who, :what, :print, :life, :now) ON CONFLICT DO NOTHING"
    ),
    only="what",
)
_TAKE = Prepared(update(idempotency).where(_AT).values(state=bindparam("life"), created=bindparam("now")))
_KEEP = Prepared(update(idempotency).where(_AT).values(state=DONE, status=bindparam("code"), body=bindparam("text")))
_RELEASE = Prepared(delete_from(idempotency).where(_AT, idempotency.c.state != DONE))


class Kept(msgspec.Struct, frozen=True):
    """An answer as it was given; the body is sealed by whoever stores it."""

    status: int
    body: str


def claim(conn: Connection, user_id: str, key: str, fingerprint: str, boot_id: str, now: float) -> Kept | None:
    """None: go on, the key is yours. Else the answer that was given."""
    at = {"who": user_id, "what": key}
    if _INSERT.run(conn, at | {"print": fingerprint, "life": boot_id, "now": now}):
        return None
    row = _FIND.first(conn, at)
    if row.fingerprint != fingerprint:
        raise SteadError("key_reused", "this Idempotency-Key was used for another request")
    if row.state == DONE:
        return Kept(row.status, row.body)
    if row.state == boot_id:
        raise SteadError("in_progress", "the same request is still running")
    _TAKE.run(conn, at | {"life": boot_id, "now": now})
    return None


def keep(conn: Connection, user_id: str, key: str, kept: Kept, entries: Sequence[AuditEntry] = ()) -> None:
    """The request is over; this is its answer from now on, and these are its audit entries."""
    audits.append(conn, entries)
    later(conn, _KEEP, {"who": user_id, "what": key, "code": kept.status, "text": kept.body})


def release(conn: Connection, user_id: str, key: str, entries: Sequence[AuditEntry] = ()) -> None:
    """The request had no effect; the key is free again."""
    audits.append(conn, entries)
    _RELEASE.run(conn, {"who": user_id, "what": key})


@long
def remove_before(conn: Connection, at: float) -> int:
    """Forgets what is older."""
    return conn.execute(delete_from(idempotency).where(idempotency.c.created < at)).rowcount
