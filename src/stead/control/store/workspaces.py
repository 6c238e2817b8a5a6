"""The workspaces' rows.

Contract: every function takes the connection of a unit. Rows come with `node_name`. `resolve` finds what a person names
and hides what the caller may not see. `save` writes what the lifecycle decides; versions rise with every change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from stead.control.people.caller import Caller
from stead.control.store import later
from stead.control.store.filters import has_labels, is_ref, shown
from stead.control.store.prepared import Prepared
from stead.control.store.schema import UNSETTLED, nodes, users, workspaces
from stead.control.store.units import long, quick
from stead.model.workspaces import Observed
from stead.protocol.errors import SteadError

w = workspaces.c
SHORTEST_PREFIX = 4
FEW = 4
"""So many are found faster one by one."""
SAVED = (
    "desired",
    "state",
    "generation",
    "reported",
    "live",
    "sequence",
    "settled",
    "attempts",
    "retry_at",
    "started",
    "error",
    "steps",
    "isolation",
    "limits",
    "persistence",
    "guest_restarts",
    "guest_boot_id",
)
"""The columns that the lifecycle writes."""

_WITH_NODE: Select[Any] = select(workspaces, nodes.c.name.label("node_name")).outerjoin_from(
    workspaces, nodes, w.node_id == nodes.c.id
)
_BY_ID = Prepared(_WITH_NODE.where(w.id == bindparam("wanted")), only="wanted")
_BY_KEY = Prepared(_WITH_NODE.where(w.owner == bindparam("whose"), w.request_key == bindparam("asked")))
_SAVE = Prepared(
    update(workspaces)
    .where(w.id == bindparam("wanted"))
    .values({name: bindparam(name) for name in SAVED} | {"updated": bindparam("updated"), "version": w.version + 1})
)
_STEPS = Prepared(
    update(workspaces)
    .where(w.id == bindparam("wanted"))
    .values(steps=bindparam("done"), updated=bindparam("at"), version=w.version + 1)
)
_INSERT = Prepared(workspaces.insert().inline())
_PENDING = _WITH_NODE.where(w.id.in_(bindparam("ids", expanding=True)), w.state == Observed.PENDING.value)
_BEGIN = Prepared(
    update(workspaces)
    .where(w.id == bindparam("wanted"), w.state == Observed.PENDING.value)
    .values(state=Observed.STARTING.value, updated=bindparam("updated"), version=w.version + 1)
)
_COUNTS = Prepared(
    select(w.node_id, func.count().label("number")).where(w.state != Observed.DELETED.value).group_by(w.node_id)
)
_COUNT_ON = Prepared(
    select(func.count().label("number")).where(w.node_id == bindparam("node"), w.state != Observed.DELETED.value)
)


def insert(conn: Connection, values: dict[str, Any]) -> None:
    """A new workspace; "already_exists" when the owner has one of this name."""
    try:
        _INSERT.run(conn, values)
    except IntegrityError as error:
        raise SteadError("already_exists", f"there is a workspace {values['name']} already") from error


def by_id(conn: Connection, workspace_id: str) -> Row[Any] | None:
    found: Row[Any] | None = _BY_ID.first(conn, {"wanted": workspace_id})
    return found


def by_ids(conn: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Those that exist."""
    if len(ids) <= FEW:
        return {row.id: row for name in ids if (row := by_id(conn, name)) is not None}
    return {row.id: row for row in conn.execute(_WITH_NODE.where(w.id.in_(ids)))}


def by_key(conn: Connection, owner: str, key: str) -> Row[Any] | None:
    """The workspace that this key made."""
    found: Row[Any] | None = _BY_KEY.first(conn, {"whose": owner, "asked": key})
    return found


@quick
def resolve(conn: Connection, caller: Caller, ref: str) -> Row[Any]:
    """The one that the caller means."""
    if not is_ref(ref):
        raise SteadError("not_found", f"no such workspace: {shown(ref)}")
    found = by_id(conn, ref)
    if found is not None and caller.may_see(found.owner):
        return found
    mine = _one(conn, ref, [w.name == ref, w.state != Observed.DELETED.value, w.owner == caller.user_id])
    if mine is not None:
        return mine
    scope = [] if caller.is_admin else [w.owner == caller.user_id]
    found = _one(conn, ref, [w.name == ref, w.state != Observed.DELETED.value, *scope])
    if found is None and len(ref) >= SHORTEST_PREFIX:
        found = _one(conn, ref, [w.id.startswith(ref, autoescape=True), w.state != Observed.DELETED.value, *scope])
    if found is None:
        raise SteadError("not_found", f"no such workspace: {shown(ref)}")
    return found


def _one(conn: Connection, ref: str, where: list[ColumnElement[bool]]) -> Row[Any] | None:
    rows = conn.execute(_WITH_NODE.where(*where).limit(2)).all()
    if len(rows) > 1:
        raise SteadError("ambiguous", f"several workspaces fit {ref[:64]!r}")
    return rows[0] if rows else None


def page(
    conn: Connection, where: list[ColumnElement[bool]], labels: dict[str, str], limit: int, after: str
) -> list[Row[Any]]:
    """Newest first, one more than the limit when there are more."""
    query = _WITH_NODE.where(*where, *has_labels(conn, w.labels, labels))
    if after:
        query = query.where(w.id < after)
    return list(conn.execute(query.order_by(w.id.desc()).limit(limit + 1)))


def owned_by(ref: str) -> ColumnElement[bool]:
    """Of a user, by id or name."""
    return or_(w.owner == ref, w.owner.in_(select(users.c.id).where(users.c.name == ref)))


def on_node(ref: str) -> ColumnElement[bool]:
    """On a node, by id or name."""
    return or_(w.node_id == ref, w.node_id.in_(select(nodes.c.id).where(nodes.c.name == ref)))


def save(conn: Connection, workspace_id: str, values: dict[str, Any], now: float) -> None:
    """Writes all columns of `SAVED`."""
    later.change(conn, _SAVE, values | {"wanted": workspace_id, "updated": now}, workspace_id)


def change(conn: Connection, workspace_id: str, values: dict[str, Any], now: float) -> None:
    """Writes some columns; "already_exists" for a name that the owner uses."""
    try:
        conn.execute(
            update(workspaces).where(w.id == workspace_id).values(**values, updated=now, version=w.version + 1)
        )
    except IntegrityError as error:
        raise SteadError("already_exists", f"there is a workspace {values.get('name')} already") from error


def put_steps(conn: Connection, workspace_id: str, steps: list[dict[str, Any]], now: float) -> None:
    """Writes how far its start has come."""
    _STEPS.run(conn, {"wanted": workspace_id, "done": steps, "at": now})


def begun(conn: Connection, ids: Sequence[str], now: float) -> list[Row[Any]]:
    """Those of the pending ones that a node has taken are starting now."""
    pending = list(conn.execute(_PENDING, {"ids": ids}))
    if pending:
        _BEGIN.many(conn, [{"wanted": row.id, "updated": now} for row in pending])
    return pending


def of_node(conn: Connection, node_id: str) -> list[Row[Any]]:
    """All that are on the node and not deleted."""
    return list(conn.execute(_WITH_NODE.where(w.node_id == node_id, w.state != Observed.DELETED.value)))


def count_by_node(conn: Connection) -> dict[str, int]:
    return {row.node_id: row.number for row in _COUNTS.all(conn, {}) if row.node_id is not None}


def count_on(conn: Connection, node_id: str) -> int:
    """How many are on this node."""
    return int(_COUNT_ON.first(conn, {"node": node_id}).number)


def unsettled(conn: Connection, node_ids: Iterable[str], limit: int) -> list[Row[Any]]:
    """Those on these nodes that differ from what was asked and have no command; failed ones wait for a person."""
    query = _WITH_NODE.where(text("workspaces." + UNSETTLED), w.node_id.in_(list(node_ids)))
    held = (w.state == Observed.FAILED.value) & (w.attempts > 0) & (w.desired != "deleted")
    return list(conn.execute(query.where(~held).order_by(w.retry_at).limit(limit)))


@long
def forget(conn: Connection, before: float, limit: int) -> int:
    """Removes deleted ones that were deleted before."""
    old = select(w.id).where(w.state == Observed.DELETED.value, w.updated < before).limit(limit)
    return conn.execute(workspaces.delete().where(w.id.in_(old))).rowcount
