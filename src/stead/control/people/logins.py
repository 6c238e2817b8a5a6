"""One-time login codes: how a person comes in first.

Contract: `issue(user_id) -> code` voids the user's earlier codes; `redeem(code, token_name) -> Entry` works once: a browser
session, or an API token where a name for one is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from stead.api.types import User
from stead.control.people import secrets
from stead.control.people.sessions import Sessions
from stead.control.people.tokens import Tokens
from stead.control.store import credentials, users
from stead.control.store.store import Store


class Entry(msgspec.Struct, frozen=True):
    """Who came in, and the new secret."""

    user: User
    credential_id: str
    secret: str


class Logins:
    """The codes."""

    def __init__(
        self,
        store: Store,
        sessions: Sessions,
        tokens: Tokens,
        lifetime: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._tokens = tokens
        self._lifetime = lifetime
        self._clock = clock

    async def issue(self, user_id: str) -> str:
        """A new code."""
        code, digest = secrets.make(secrets.LOGIN)
        now = self._clock()
        await self._store.write(credentials.add_login, user_id, digest, now, now + self._lifetime)
        return code

    async def redeem(self, code: str, token_name: str = "") -> Entry:
        """Uses the code up."""
        user_id = await self._store.write(credentials.redeem_login, secrets.digest(code), self._clock())
        user = await self._store.read(users.get, user_id)
        if token_name:
            created = await self._tokens.grant(user_id, token_name)
            return Entry(user, created.token.id, created.secret)
        session, secret = await self._sessions.open(user_id)
        return Entry(user, session.id, secret)
