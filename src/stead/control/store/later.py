"""What units only add and nobody in a commit reads, such as events and audit entries: written before the commit, together.

Contract: `later(conn, statement, values)` inside a unit; the values are checked and encoded at once. The store calls `begin`
at the start of a commit, `undo` back to a `mark` for a unit that is undone, and `flush` at the end.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from stead.control.store.prepared import Prepared, Values

_WAITING = "stead_later"
_Waiting = list[tuple[Prepared, tuple[Any, ...]]]


def begin(conn: Connection) -> None:
    """Nothing waits."""
    conn.info[_WAITING] = []


def later(conn: Connection, statement: Prepared, values: Values) -> None:
    """To be run with these values in the same commit, in the order of these calls among those of one statement."""
    _waiting(conn).append((statement, statement.parameters(conn, values)))


def mark(conn: Connection) -> int:
    """Where the unit that begins now begins."""
    return len(_waiting(conn))


def undo(conn: Connection, since: int) -> None:
    """Takes back what was put off since the mark."""
    del _waiting(conn)[since:]


def flush(conn: Connection) -> None:
    """Writes what waits, each statement once."""
    by_statement: dict[Prepared, list[tuple[Any, ...]]] = {}
    for statement, parameters in _waiting(conn):
        by_statement.setdefault(statement, []).append(parameters)
    begin(conn)
    for statement, rows in by_statement.items():
        statement.put(conn, rows)


def _waiting(conn: Connection) -> _Waiting:
    waiting: _Waiting = conn.info[_WAITING]
    return waiting
