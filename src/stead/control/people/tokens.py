"""API tokens.

Contract: members see, make and revoke their own, administrators also see and revoke everybody's. A token never carries
more than the credential it was made with. One that was made with a token ends with that token at the latest: by time, and
when it is revoked. Revoking one cuts what lives by it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from stead.api.types import Token, TokenCreate, TokenCreated, TokenPage
from stead.control.people import secrets
from stead.control.people.caller import EVERYTHING, Caller
from stead.control.people.revocation import Revocation
from stead.control.people.rights import check_scopes
from stead.control.people.sessions import scope_of
from stead.control.store import credentials
from stead.control.store.store import Store
from stead.model import ids
from stead.protocol.errors import SteadError

LOGIN_LIFETIME = 90 * 86_400.0
USUAL_LIFETIME = 30 * 86_400.0
LONGEST_NAME = 100
LONGEST_LIFETIME = 10 * 366 * 86_400.0


class Tokens:
    """The service."""

    def __init__(self, store: Store, revocation: Revocation, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._revocation = revocation
        self._clock = clock

    async def create(self, caller: Caller, body: TokenCreate) -> TokenCreated:
        """A new token of the caller's own."""
        scopes = check_scopes(caller, body.scopes)
        lifetime = USUAL_LIFETIME if body.lifetime_seconds is None else body.lifetime_seconds
        if not 0 <= lifetime <= LONGEST_LIFETIME:
            raise SteadError("invalid", "lifetime_seconds: from 0 (no end) to ten years")
        maker = caller.credential_id if caller.via == "token" else ""
        token, secret, digest = self._new(caller.user_id, body.name, scopes, lifetime)
        insisted = body.lifetime_seconds is not None
        return TokenCreated(
            token=await self._store.write(credentials.add_token_by, token, digest, maker, insisted), secret=secret
        )

    async def grant(self, user_id: str, name: str) -> TokenCreated:
        """A token for somebody who just logged in."""
        return await self._add(user_id, name, LOGIN_LIFETIME, credentials.LOGIN)

    async def renew_local(self, user_id: str) -> str:
        """The machine's own token; those of earlier starts end."""
        for token_id in await self._store.write(credentials.remove_local_tokens):
            self._revocation.credential(token_id)
        return (await self._add(user_id, "this machine", 0.0, credentials.LOCAL)).secret

    async def revoke(self, caller: Caller, token_id: str) -> None:
        """Ends one, and those that were made with it."""
        for ended in await self._store.write(credentials.remove_token, token_id, scope_of(caller)):
            self._revocation.credential(ended)

    async def end_own(self, caller: Caller) -> None:
        """Ends the token that asks."""
        for ended in await self._store.write(credentials.remove_token, caller.credential_id, caller.user_id):
            self._revocation.credential(ended)

    async def _add(self, user_id: str, name: str, lifetime: float, kind: str) -> TokenCreated:
        """One that is a way in of its own."""
        token, secret, digest = self._new(user_id, name, [EVERYTHING], lifetime)
        await self._store.write(credentials.add_token, token, digest, kind)
        return TokenCreated(token=token, secret=secret)

    def _new(self, user_id: str, name: str, scopes: list[str], lifetime: float) -> tuple[Token, str, str]:
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise SteadError("invalid", f"name: from 1 to {LONGEST_NAME} printable characters")
        now = self._clock()
        secret, digest = secrets.make(secrets.TOKEN)
        token = Token(
            id=ids.make(ids.Kind.TOKEN, now, os.urandom(ids.ENTROPY_BYTES)),
            user_id=user_id,
            name=name,
            scopes=scopes,
            created=now,
            expires=now + lifetime if lifetime else None,
            last_used=None,
        )
        return token, secret, digest

    async def list(self, caller: Caller, limit: int, after: str) -> TokenPage:
        """Oldest first."""
        return await self._store.read(credentials.page_tokens, scope_of(caller), after, limit)
