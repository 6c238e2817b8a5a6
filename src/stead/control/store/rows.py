"""What repositories and services pass on of the database library; everything else of it stays in the store.

Contract: `changed(row, values)` is the row as it is after a write, without reading it again.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Row

__all__ = ["Connection", "Row", "changed"]


def changed(row: Any, values: dict[str, Any]) -> Any:
    """The row with these values in place of its own; None is a row without any."""
    before = {} if row is None else (row._asdict() if isinstance(row, Row) else vars(row))
    return SimpleNamespace(**(before | values))
