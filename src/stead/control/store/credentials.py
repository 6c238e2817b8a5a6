"""The rows of what proves who somebody is: API tokens, browser sessions, one-time logins. Only digests are kept.

Contract: every function is one unit for `Store.read` or `Store.write`. `find_token` and `find_session` answer with the
user, also when expired or disabled: the caller of them judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import delete as delete_from

from stead.api.types import Session, SessionPage, Token, TokenPage
from stead.control.store.schema import logins, sessions, tokens, users
from stead.control.store.units import quick
from stead.protocol.errors import SteadError

API, LOGIN, LOCAL = "api", "login", "local"
"""Kinds of tokens: made with another credential; got with a login code; this machine's own."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A credential with its user."""

    credential_id: str
    user_id: str
    name: str
    role: str
    disabled: bool
    scopes: list[str]
    expires: float | None
    last_used: float | None
    kind: str


# --- tokens --------------------------------------------------------------------------------------------------------


def add_token(conn: Connection, token: Token, digest: str, kind: str) -> Token:
    """A new token."""
    conn.execute(
        insert(tokens).values(
            id=token.id,
            user_id=token.user_id,
            name=token.name,
            scopes=token.scopes,
            hash=digest,
            kind=kind,
            created=token.created,
            expires=token.expires,
            made_by=token.made_by,
        )
    )
    return token


def add_token_by(conn: Connection, token: Token, digest: str, maker: str, insisted: bool) -> Token:
    """A new token, made with another one unless `maker` is empty. It ends with an API token that made it, at the latest.

    What a login or this machine's own token makes is a person's own, as with a session.
    """
    if maker:
        # held until this is committed, so that a revocation at the same time either finds this token or is found here
        row = conn.execute(select(tokens).where(tokens.c.id == maker).with_for_update(read=True)).first()
        if row is None:
            raise SteadError("unauthenticated", "the credential was revoked")
        if row.kind == API:
            token = msgspec.structs.replace(token, made_by=maker, expires=_within(token.expires, row.expires, insisted))
    return add_token(conn, token, digest, API)


def _within(wanted: float | None, most: float | None, insisted: bool) -> float | None:
    """The end of a token under one that ends at `most`."""
    if most is None or (wanted is not None and wanted <= most):
        return wanted
    if insisted:
        raise SteadError("forbidden", "lifetime_seconds: a token cannot outlive the one that makes it", ends=most)
    return most


@quick
def find_token(conn: Connection, digest: str) -> Found | None:
    """The token with this digest."""
    row = conn.execute(
        select(tokens, users.c.name.label("user_name"), users.c.role, users.c.disabled)
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.hash == digest)
    ).first()
    return None if row is None else _found(row, row.scopes, row.kind)


def page_tokens(conn: Connection, user_id: str, after: str, limit: int) -> TokenPage:
    """A user's tokens (all for an empty user), oldest first, without the machine's own."""
    query = select(tokens).where(tokens.c.id > after, tokens.c.kind != LOCAL).order_by(tokens.c.id).limit(limit + 1)
    if user_id:
        query = query.where(tokens.c.user_id == user_id)
    rows = conn.execute(query).all()
    items = [_token(row) for row in rows[:limit]]
    return TokenPage(items=items, next=items[-1].id if len(rows) > limit else "")


def remove_token(conn: Connection, token_id: str, user_id: str) -> list[str]:
    """Removes one token, of this user unless empty, and those that were made with it; answers their ids."""
    row = conn.execute(select(tokens).where(tokens.c.id == token_id)).first()
    if row is None or (user_id and row.user_id != user_id):
        raise SteadError("not_found", "no such token")
    removed: list[str] = []
    level = [token_id]
    while level:
        conn.execute(delete_from(tokens).where(tokens.c.id.in_(level)))
        removed += level
        level = list(conn.execute(select(tokens.c.id).where(tokens.c.made_by.in_(level))).scalars())
    return removed


def remove_local_tokens(conn: Connection) -> list[str]:
    """Removes the machine's own tokens of earlier starts; answers their ids."""
    rows = conn.execute(select(tokens.c.id).where(tokens.c.kind == LOCAL)).scalars().all()
    conn.execute(delete_from(tokens).where(tokens.c.kind == LOCAL))
    return list(rows)


# --- sessions ------------------------------------------------------------------------------------------------------


def add_session(conn: Connection, session: Session, digest: str) -> Session:
    """A new session."""
    conn.execute(
        insert(sessions).values(
            id=session.id, user_id=session.user_id, hash=digest, created=session.created, expires=session.expires
        )
    )
    return session


@quick
def find_session(conn: Connection, digest: str) -> Found | None:
    """The session with this digest."""
    row = conn.execute(
        select(sessions, users.c.name.label("user_name"), users.c.role, users.c.disabled)
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.hash == digest)
    ).first()
    return None if row is None else _found(row, ["*"], "session")


def page_sessions(conn: Connection, user_id: str, current: str, after: str, limit: int) -> SessionPage:
    """A user's sessions (all for an empty user), oldest first."""
    query = select(sessions).where(sessions.c.id > after).order_by(sessions.c.id).limit(limit + 1)
    if user_id:
        query = query.where(sessions.c.user_id == user_id)
    rows = conn.execute(query).all()
    items = [
        Session(
            id=row.id,
            user_id=row.user_id,
            created=row.created,
            expires=row.expires,
            last_used=row.last_used,
            current=row.id == current,
        )
        for row in rows[:limit]
    ]
    return SessionPage(items=items, next=items[-1].id if len(rows) > limit else "")


def remove_session(conn: Connection, session_id: str, user_id: str) -> None:
    """Removes one session, of this user unless empty."""
    query = delete_from(sessions).where(sessions.c.id == session_id)
    if user_id:
        query = query.where(sessions.c.user_id == user_id)
    if conn.execute(query).rowcount == 0:
        raise SteadError("not_found", "no such session")


# --- both ----------------------------------------------------------------------------------------------------------


@quick
def find_by_id(conn: Connection, credential_id: str) -> str | None:
    """The user of a token or session that is there, unless disabled."""
    table = sessions if credential_id.startswith("se_") else tokens
    query = select(table.c.user_id).join(users, users.c.id == table.c.user_id)
    return conn.execute(query.where(table.c.id == credential_id, users.c.disabled.is_(False))).scalar()


def touch(conn: Connection, used: Mapping[str, float]) -> None:
    """When credentials were last used, by id."""
    for credential_id, at in used.items():
        table = sessions if credential_id.startswith("se_") else tokens
        conn.execute(update(table).where(table.c.id == credential_id).values(last_used=at))


def remove_expired(conn: Connection, now: float) -> None:
    """Forgets what ended more than a day ago."""
    for table in (tokens, sessions, logins):
        conn.execute(delete_from(table).where(table.c.expires < now - 86_400))


# --- one-time logins -----------------------------------------------------------------------------------------------


def add_login(conn: Connection, user_id: str, digest: str, created: float, expires: float) -> None:
    """A new login code; the user's earlier ones are void."""
    conn.execute(delete_from(logins).where(logins.c.user_id == user_id))
    conn.execute(insert(logins).values(hash=digest, user_id=user_id, created=created, expires=expires))


def redeem_login(conn: Connection, digest: str, now: float) -> str:
    """The user of a code that was never used and is not too old; it is used with this."""
    done = conn.execute(
        update(logins).where(logins.c.hash == digest, logins.c.used.is_(None), logins.c.expires > now).values(used=now)
    )
    row = conn.execute(
        select(logins.c.user_id, users.c.disabled)
        .join(users, users.c.id == logins.c.user_id)
        .where(logins.c.hash == digest)
    ).first()
    if done.rowcount != 1 or row is None or row.disabled:
        raise SteadError("unauthenticated", "the login code is wrong, used or too old")
    return str(row.user_id)


def _found(row: Row[Any], scopes: list[str], kind: str) -> Found:
    return Found(
        credential_id=row.id,
        user_id=row.user_id,
        name=row.user_name,
        role=row.role,
        disabled=row.disabled,
        scopes=scopes,
        expires=row.expires,
        last_used=row.last_used,
        kind=kind,
    )


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        scopes=row.scopes,
        created=row.created,
        expires=row.expires,
        last_used=row.last_used,
        made_by=row.made_by,
    )
