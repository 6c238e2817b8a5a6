"""The rows of nodes and of the tokens they enrol with.

Contract: every function takes the connection of a unit. Names are unique; versions rise with every change by a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError

from stead.control.store.filters import has_labels, is_ref, shown
from stead.control.store.schema import enrolments, nodes
from stead.control.store.units import long, quick
from stead.protocol.errors import SteadError

n = nodes.c
SHORTEST_PREFIX = 4

_BY_ID = select(nodes).where(n.id == bindparam("wanted"))
_SEEN = update(nodes).where(n.id == bindparam("wanted")).values(last_seen=bindparam("at"))
_HEALTH = (
    update(nodes).where(n.id == bindparam("wanted")).values(last_seen=bindparam("at"), health=bindparam("figures"))
)


def insert(conn: Connection, values: dict[str, Any]) -> None:
    conn.execute(nodes.insert().inline(), values)


def names_like(conn: Connection, name: str) -> set[str]:
    """Names in use that start so."""
    return set(conn.execute(select(n.name).where(n.name.startswith(name, autoescape=True))).scalars())


@quick
def by_id(conn: Connection, node_id: str) -> Row[Any] | None:
    return conn.execute(_BY_ID, {"wanted": node_id}).first()


def resolve(conn: Connection, ref: str) -> Row[Any]:
    """By id, name or unique beginning of an id."""
    if not is_ref(ref):
        raise SteadError("not_found", f"no such node: {shown(ref)}")
    found = conn.execute(select(nodes).where(or_(n.id == ref, n.name == ref))).first()
    if found is not None:
        return found
    if len(ref) < SHORTEST_PREFIX:
        raise SteadError("not_found", f"no such node: {shown(ref)}")
    rows = conn.execute(select(nodes).where(n.id.startswith(ref, autoescape=True)).limit(2)).all()
    if len(rows) > 1:
        raise SteadError("ambiguous", f"several nodes fit {ref[:64]!r}")
    if not rows:
        raise SteadError("not_found", f"no such node: {shown(ref)}")
    return rows[0]


def page(conn: Connection, labels: dict[str, str], limit: int, after: str) -> list[Row[Any]]:
    """Oldest first, one more than the limit when there are more."""
    query = select(nodes).where(n.id > after, *has_labels(conn, n.labels, labels))
    return list(conn.execute(query.order_by(n.id).limit(limit + 1)))


def every(conn: Connection, limit: int) -> list[Row[Any]]:
    return list(conn.execute(select(nodes).order_by(n.id).limit(limit)))


def seen_since(conn: Connection, since: float) -> list[Row[Any]]:
    """Those heard of lately."""
    return list(conn.execute(select(nodes).where(n.last_seen >= since)))


def change(conn: Connection, node_id: str, values: dict[str, Any]) -> None:
    """A person's change; "already_exists" for a name in use."""
    try:
        conn.execute(update(nodes).where(n.id == node_id).values(**values, version=n.version + 1))
    except IntegrityError as error:
        raise SteadError("already_exists", f"there is a node {values.get('name')} already") from error


def greet(conn: Connection, node_id: str, values: dict[str, Any]) -> None:
    """What a node said of itself."""
    conn.execute(update(nodes).where(n.id == node_id).values(**values))


@long
def remember(conn: Connection, figures: Sequence[dict[str, Any]]) -> None:
    """The latest figures of many nodes: `wanted`, `at`, `figures`."""
    with_health = [row for row in figures if row["figures"] is not None]
    without = [{"wanted": row["wanted"], "at": row["at"]} for row in figures if row["figures"] is None]
    if with_health:
        conn.execute(_HEALTH, with_health)
    if without:
        conn.execute(_SEEN, without)


def remove(conn: Connection, node_id: str) -> None:
    conn.execute(nodes.delete().where(n.id == node_id))


# --- tokens to enrol with ------------------------------------------------------------------------------------------


def insert_enrolment(conn: Connection, values: dict[str, Any]) -> None:
    conn.execute(enrolments.insert().inline(), values)


def enrolment(conn: Connection, digest: str) -> Row[Any] | None:
    return conn.execute(select(enrolments).where(enrolments.c.hash == digest)).first()


def use_enrolment(conn: Connection, enrolment_id: str, node_id: str, now: float) -> None:
    conn.execute(update(enrolments).where(enrolments.c.id == enrolment_id).values(used=now, node_id=node_id))


def forget_enrolments(conn: Connection, before: float) -> int:
    """Removes tokens that expired before."""
    return conn.execute(enrolments.delete().where(enrolments.c.expires < before)).rowcount
