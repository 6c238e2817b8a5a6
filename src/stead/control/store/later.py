"""What is written in one commit after the units that asked for it: many rows at once, not a trip to the database for each.

Contract, inside a unit: `later(conn, statement, values)` is for what units only add and nobody in a commit reads, such as
events and audit entries; `change(conn, statement, values, row)` for a change of the row of this id whose effect nobody counts.
The values are checked and encoded at once. A change is written before any statement that might see its row: only those that say
which row they touch (`Prepared(..., only=...)`) and touch another one go ahead.

The store calls `begin` at the start of a commit (with `changes` where a unit that fails undoes them all; elsewhere a change is
written at once), `undo` back to a `mark` for a unit that is undone, `flush` at the end, and `before` ahead of statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

if TYPE_CHECKING:
    from stead.control.store.prepared import Prepared, Values

_WAITING = "stead_later"
_Work = list[tuple["Prepared", tuple[Any, ...]]]


class _Waiting:
    """What is to be written in this commit."""

    def __init__(self, *, changes: bool) -> None:
        self.added: _Work = []
        self.changed: _Work = []
        self.rows: set[str] = set()
        self.changes = changes


def begin(conn: Connection, *, changes: bool = False) -> None:
    """Nothing waits."""
    conn.info[_WAITING] = _Waiting(changes=changes)


def later(conn: Connection, statement: Prepared, values: Values) -> None:
    """To be run with these values in the same commit, in the order of these calls among those of one statement."""
    _waiting(conn).added.append((statement, statement.parameters(conn, values)))


def change(conn: Connection, statement: Prepared, values: Values, row: str) -> None:
    """To be run with these values before anything else touches this row."""
    waiting = _waiting(conn)
    if not waiting.changes:
        statement.run(conn, values)
        return
    waiting.changed.append((statement, statement.parameters(conn, values)))
    waiting.rows.add(row)


def before(conn: Connection, row: str | None) -> None:
    """A statement is about to be run that touches this row, or who knows which: what it might see is written first."""
    waiting: _Waiting | None = conn.info.get(_WAITING)
    if waiting is not None and waiting.rows and (row is None or row in waiting.rows):
        _write_changes(conn, waiting)


def mark(conn: Connection) -> int:
    """Where the unit that begins now begins."""
    return len(_waiting(conn).added)


def undo(conn: Connection, since: int) -> None:
    """Takes back what was put off since the mark."""
    del _waiting(conn).added[since:]


def flush(conn: Connection) -> None:
    """Writes what waits, each statement once."""
    waiting = _waiting(conn)
    _write_changes(conn, waiting)
    added, waiting.added = waiting.added, []
    _write(conn, added)


def _write_changes(conn: Connection, waiting: _Waiting) -> None:
    changed, waiting.changed = waiting.changed, []
    waiting.rows.clear()
    _write(conn, changed)


def _write(conn: Connection, work: _Work) -> None:
    by_statement: dict[Prepared, list[tuple[Any, ...]]] = {}
    for statement, parameters in work:
        by_statement.setdefault(statement, []).append(parameters)
    for statement, rows in by_statement.items():
        statement.put(conn, rows)


def _waiting(conn: Connection) -> _Waiting:
    waiting: _Waiting = conn.info[_WAITING]
    return waiting
