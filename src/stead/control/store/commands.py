"""The commands' rows.

Contract: every function takes the connection of a unit. States change by compare-and-set (`stead.model.commands`); an end
never changes. `claim` answers what is to be delivered now, the oldest live command of each workspace only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, case, exists, func, or_, select, update

from stead.control.store.later import change
from stead.control.store.prepared import Prepared
from stead.control.store.schema import commands
from stead.control.store.units import long
from stead.model.commands import RUN_LEASE, SENT_LEASE, CommandState, before

commands_table = commands
FEW = 4
"""So many are found faster one by one."""
c = commands.c


def _in(states: Sequence[CommandState]) -> ColumnElement[bool]:
    """Without an expanding parameter, so that one statement serves many rows."""
    return or_(*[c.state == state.value for state in states])


_INSERT = Prepared(commands.insert().inline())
_BY_ID = Prepared(select(commands).where(c.id == bindparam("wanted")), only="wanted")
_OF_WORKSPACE = Prepared(
    select(commands).where(c.workspace_id == bindparam("workspace"), c.sequence == bindparam("number"))
)
_EVER_SENT = Prepared(select(c.id).where(c.workspace_id == bindparam("workspace"), c.sent.is_not(None)).limit(1))
_FIRST = commands.alias("first")
_HEADS: Select[Any] = select(commands).where(
    c.ended.is_(None),
    ~exists().where(_FIRST.c.workspace_id == c.workspace_id, _FIRST.c.sequence < c.sequence, _FIRST.c.ended.is_(None)),
)
_SEND = Prepared(
    update(commands)
    .where(c.id == bindparam("wanted"), c.ended.is_(None))
    .values(
        state=case((c.state == CommandState.QUEUED.value, CommandState.SENT.value), else_=c.state),
        attempts=c.attempts + 1,
        sent=func.coalesce(c.sent, bindparam("now")),
        lease=bindparam("until"),
    )
)
_ACKNOWLEDGE = Prepared(
    update(commands)
    .where(c.id == bindparam("wanted"), c.ended.is_(None))
    .values(
        state=case((_in(before(CommandState.ACKNOWLEDGED)), CommandState.ACKNOWLEDGED.value), else_=c.state),
        acknowledged=func.coalesce(c.acknowledged, bindparam("now")),
        lease=bindparam("until"),
    )
)
_RUN = Prepared(
    update(commands)
    .where(c.id == bindparam("wanted"), c.ended.is_(None))
    .values(
        state=CommandState.RUNNING.value,
        acknowledged=func.coalesce(c.acknowledged, bindparam("now")),
        lease=bindparam("until"),
    )
)
_ENDING: dict[CommandState, Any] = {
    state: update(commands)
    .where(c.id == bindparam("wanted"), c.ended.is_(None), _in(before(state)))
    .values(state=state.value, ended=bindparam("now"), error=bindparam("fault"))
    for state in CommandState
    if before(state)
}
_END = {state: Prepared(statement, only="wanted") for state, statement in _ENDING.items()}
_END_OF = {
    state: Prepared(
        statement.where(c.node_id == bindparam("speaker"))
        .values(acknowledged=func.coalesce(c.acknowledged, bindparam("now")))
        .returning(*commands.c),
        only="wanted",
    )
    for state, statement in _ENDING.items()
}
_DUE = or_(c.state == CommandState.QUEUED.value, c.lease < bindparam("now"))
_CLAIM = (
    _HEADS.where(c.node_id.in_(bindparam("nodes", expanding=True)), _DUE, c.deadline > bindparam("now"))
    .order_by(c.id)
    .limit(bindparam("most"))
)
_REPLAY = update(commands).where(c.ended.is_(None), c.node_id.in_(bindparam("back", expanding=True))).values(lease=0.0)


def as_sent(now: float) -> dict[str, Any]:
    """What differs in a command that is sent as soon as it is written."""
    return {"state": CommandState.SENT.value, "attempts": 1, "sent": now, "lease": now + SENT_LEASE}


def insert(conn: Connection, values: dict[str, Any]) -> None:
    """A new command, queued."""
    change(conn, _INSERT, values, values["id"])


def by_id(conn: Connection, command_id: str) -> Row[Any] | None:
    found: Row[Any] | None = _BY_ID.first(conn, {"wanted": command_id})
    return found


def by_ids(conn: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    if len(ids) <= FEW:
        return {row.id: row for name in ids if (row := by_id(conn, name)) is not None}
    return {row.id: row for row in conn.execute(select(commands).where(c.id.in_(ids)))}


def of_workspace(conn: Connection, workspace_id: str, sequence: int) -> Row[Any] | None:
    """The command of this number."""
    found: Row[Any] | None = _OF_WORKSPACE.first(conn, {"workspace": workspace_id, "number": sequence})
    return found


def newest_sequence(conn: Connection, workspace_id: str) -> int:
    """The number of the newest command of the workspace, 0 without any."""
    query = select(func.max(c.sequence)).where(c.workspace_id == workspace_id)
    return int(conn.execute(query).scalar() or 0)


def live_workspaces(conn: Connection, node_id: str) -> set[str]:
    """The workspaces of the node with a live command."""
    query = select(c.workspace_id).where(c.ended.is_(None), c.node_id == node_id)
    return set(conn.execute(query).scalars())


def ever_sent(conn: Connection, workspace_id: str) -> bool:
    """Whether a node may have heard of the workspace."""
    return _EVER_SENT.first(conn, {"workspace": workspace_id}) is not None


def claim(conn: Connection, nodes: Sequence[str], back: Sequence[str], limit: int, now: float) -> list[Row[Any]]:
    """What the nodes are to get now: what waits, whose lease is over, and everything of those that came back."""
    if back:
        conn.execute(_REPLAY, {"back": back})
    rows = list(conn.execute(_CLAIM, {"nodes": nodes, "now": now, "most": limit}))
    if rows:
        _SEND.many(conn, [{"wanted": row.id, "now": now, "until": now + SENT_LEASE} for row in rows])
    return rows


def acknowledge(conn: Connection, ids: Sequence[str], now: float) -> None:
    _ACKNOWLEDGE.many(conn, [{"wanted": name, "now": now, "until": now + RUN_LEASE} for name in ids])


def run(conn: Connection, ids: Sequence[str], now: float) -> None:
    _RUN.many(conn, [{"wanted": name, "now": now, "until": now + RUN_LEASE} for name in ids])


def end(conn: Connection, command_id: str, state: CommandState, error: Any, now: float) -> bool:
    """Compare-and-set; False when it has ended already or may not end so."""
    return _END[state].run(conn, {"wanted": command_id, "now": now, "fault": error}) == 1


def end_of(
    conn: Connection, command_id: str, node_id: str, state: CommandState, error: Any, now: float
) -> Row[Any] | None:
    """The same for a command of this node, which has taken it then; it is answered. None when nothing was changed."""
    values = {"wanted": command_id, "speaker": node_id, "now": now, "fault": error}
    found: Row[Any] | None = _END_OF[state].first(conn, values)
    return found


def overdue(conn: Connection, now: float, limit: int) -> list[Row[Any]]:
    """Live ones whose deadline has passed."""
    return list(
        conn.execute(select(commands).where(c.ended.is_(None), c.deadline <= now).order_by(c.deadline).limit(limit))
    )


def due_nodes(conn: Connection, now: float) -> list[str]:
    """The nodes with something to deliver."""
    due = or_(c.state == CommandState.QUEUED.value, c.lease < now)
    return list(conn.execute(select(c.node_id).where(c.ended.is_(None), due).distinct()).scalars())


def page(conn: Connection, where: list[ColumnElement[bool]], limit: int, after: str) -> list[Row[Any]]:
    """Newest first, one more than the limit when there are more."""
    query = select(commands).where(*where)
    if after:
        query = query.where(c.id < after)
    return list(conn.execute(query.order_by(c.id.desc()).limit(limit + 1)))


@long
def forget(conn: Connection, ended_before: float, limit: int) -> int:
    """Removes what ended before."""
    old = select(c.id).where(c.ended < ended_before).limit(limit)
    return conn.execute(commands.delete().where(c.id.in_(old))).rowcount
