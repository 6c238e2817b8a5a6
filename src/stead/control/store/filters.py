"""Conditions that several lists share, alike on both databases.

Contract: `is_ref(text)` is false for what can name nothing; `shown(text)` repeats it in messages. `has_labels(conn,
column, labels)` matches canonical JSON text; label keys have been checked to hold no quotes.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, func, literal, type_coerce
from sqlalchemy.sql.elements import ColumnClause

from stead.control.store.schema import Json

LONGEST_REF = 128


def is_ref(text: str) -> bool:
    """Whether the text could be an id, a beginning of one, or a name."""
    return 0 < len(text) <= LONGEST_REF and text.isprintable()


def shown(text: str) -> str:
    """What was typed, fit for a message."""
    return repr(text[:LONGEST_REF])


def has_labels(conn: Connection, column: ColumnClause[Json], labels: dict[str, str]) -> list[ColumnElement[bool]]:
    """One condition a label."""
    find = func.instr if conn.dialect.name == "sqlite" else func.strpos
    stored = type_coerce(column, Text)
    return [find(stored, literal(_pair(key, value), Text)) > 0 for key, value in labels.items()]


def _pair(key: str, value: str) -> str:
    return msgspec.json.encode({key: value}).decode()[1:-1]
