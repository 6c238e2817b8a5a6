"""Browser sessions.

Contract: members see and end their own, administrators everybody's. Ending one cuts what lives by it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from stead.api.types import Session, SessionPage
from stead.control.people import secrets
from stead.control.people.caller import ADMIN, Caller
from stead.control.people.revocation import Revocation
from stead.control.store import credentials
from stead.control.store.store import Store
from stead.model import ids


class Sessions:
    """The service."""

    def __init__(
        self, store: Store, revocation: Revocation, lifetime: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._revocation = revocation
        self._lifetime = lifetime
        self._clock = clock

    async def open(self, user_id: str) -> tuple[Session, str]:
        """A new session and its secret, for a user who just logged in."""
        now = self._clock()
        secret, digest = secrets.make(secrets.SESSION)
        session = Session(
            id=ids.make(ids.Kind.SESSION, now, os.urandom(ids.ENTROPY_BYTES)),
            user_id=user_id,
            created=now,
            expires=now + self._lifetime,
            last_used=None,
            current=False,
        )
        return await self._store.write(credentials.add_session, session, digest), secret

    async def list(self, caller: Caller, limit: int, after: str) -> SessionPage:
        """Oldest first."""
        return await self._store.read(credentials.page_sessions, scope_of(caller), caller.credential_id, after, limit)

    async def end(self, caller: Caller, session_id: str) -> None:
        """Ends one."""
        await self._store.write(credentials.remove_session, session_id, scope_of(caller))
        self._revocation.credential(session_id)


def scope_of(caller: Caller) -> str:
    """Whose credentials a caller may see: empty for everybody's."""
    return "" if caller.can(ADMIN) else caller.user_id
