"""The users' rows.

Contract: every function is one unit for `Store.read` or `Store.write`; names are unique, versions rise with every change.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from stead.api.types import User, UserPage
from stead.control.store.schema import logins, sessions, tokens, users, workspaces
from stead.protocol.errors import SteadError


def add(conn: Connection, user: User) -> User:
    """A new user; "already_exists" when the name is taken."""
    try:
        conn.execute(
            insert(users).values(
                id=user.id, name=user.name, role=user.role, disabled=user.disabled, created=user.created, version=1
            )
        )
    except IntegrityError as error:
        raise SteadError("already_exists", f"there is a user {user.name} already") from error
    return user


def get(conn: Connection, ref: str) -> User:
    """By id or name."""
    found = conn.execute(select(users).where((users.c.id == ref) | (users.c.name == ref))).first()
    if found is None:
        raise SteadError("not_found", "no such user")
    return _user(found)


def page(conn: Connection, after: str, limit: int) -> UserPage:
    """In the order of their making."""
    rows = conn.execute(select(users).where(users.c.id > after).order_by(users.c.id).limit(limit + 1)).all()
    items = [_user(row) for row in rows[:limit]]
    return UserPage(items=items, next=items[-1].id if len(rows) > limit else "")


def count(conn: Connection) -> int:
    """How many there are."""
    return int(conn.execute(select(func.count()).select_from(users)).scalar_one())


def first_admin(conn: Connection) -> User:
    """The administrator who has been there longest and can log in."""
    query = select(users).where(users.c.role == "admin", users.c.disabled.is_(False)).order_by(users.c.id)
    found = conn.execute(query).first()
    if found is None:
        raise SteadError("not_found", "there is no administrator")
    return _user(found)


def patch(conn: Connection, user_id: str, role: str | None, disabled: bool | None, if_version: int | None) -> User:
    """Changes a user; the last administrator who can log in stays one."""
    now = get(conn, user_id)
    if if_version is not None and now.version != if_version:
        raise SteadError("precondition_failed", f"the user is at version {now.version} by now")
    values = {"role": role or now.role, "disabled": now.disabled if disabled is None else disabled}
    if (values["role"] != "admin" or values["disabled"]) and not now.disabled:
        _keep_an_admin(conn, now)
    conn.execute(update(users).where(users.c.id == now.id).values(version=now.version + 1, **values))
    return get(conn, now.id)


def remove(conn: Connection, user_id: str) -> User:
    """Removes a user and all credentials; "conflict" while workspaces are theirs."""
    now = get(conn, user_id)
    _keep_an_admin(conn, now)
    owned = conn.execute(
        select(func.count())
        .select_from(workspaces)
        .where(workspaces.c.owner == now.id, workspaces.c.state != "deleted")
    ).scalar_one()
    if owned:
        raise SteadError("conflict", f"the user still has {owned} workspaces; delete them first, or disable the user")
    for table in (tokens, sessions, logins):
        conn.execute(delete_from(table).where(table.c.user_id == now.id))
    conn.execute(delete_from(users).where(users.c.id == now.id))
    return now


def _keep_an_admin(conn: Connection, leaving: User) -> None:
    if leaving.role != "admin":
        return
    others = select(func.count()).select_from(users)
    left = conn.execute(
        others.where(users.c.role == "admin", users.c.disabled.is_(False), users.c.id != leaving.id)
    ).scalar_one()
    if left == 0:
        raise SteadError("conflict", "this is the last administrator")


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id, name=row.name, role=row.role, disabled=row.disabled, created=row.created, version=row.version
    )
