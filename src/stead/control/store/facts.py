"""Single named values that the server makes once and keeps, such as its own secret.

Contract: `once(conn, name, value)` answers the kept value, or keeps this one.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from stead.control.store.schema import settings


def once(conn: Connection, name: str, value: str) -> str:
    """The value of this name; the given one when there was none."""
    found = conn.execute(select(settings.c.value).where(settings.c.name == name)).scalar()
    if found is not None:
        return str(found)
    conn.execute(insert(settings).values(name=name, value=value))
    return value
