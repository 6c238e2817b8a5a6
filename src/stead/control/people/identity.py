"""From a credential to the caller it stands for.

Contract: `await identities.of_bearer(secret)` and `of_cookie(secret)` answer a `Known` or raise "unauthenticated". Facts are
kept for a moment and dropped at once by `forget` when something is revoked. `last_used` is written now and then.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from stead.control.people import secrets
from stead.control.people.caller import Caller
from stead.control.store import credentials
from stead.control.store.credentials import Found
from stead.control.store.store import Store
from stead.protocol.errors import SteadError

FRESH = 1.0
TOUCH_AFTER = 60.0
_KEPT = 10_000


class Known(msgspec.Struct, frozen=True):
    """A caller, and when the credential ends by itself."""

    caller: Caller
    expires: float | None


class Identities:
    """Looks credentials up."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[float, Known]] = {}
        self._epoch = 0
        self._used: dict[str, float] = {}
        self._written: dict[str, float] = {}

    async def of_bearer(self, secret: str) -> Known:
        """The caller of an API token."""
        if not secret.startswith(secrets.TOKEN):
            raise SteadError("unauthenticated", "that is not a token of this server")
        return await self._of(secret, credentials.find_token)

    async def of_cookie(self, secret: str) -> Known:
        """The caller of a browser session."""
        return await self._of(secret, credentials.find_session)

    async def confirm(self, known: Known) -> None:
        """Looks again, for what is about to live by a credential and might have missed its end."""
        if await self._store.read(credentials.find_by_id, known.caller.credential_id) != known.caller.user_id:
            raise SteadError("unauthenticated", "the credential was revoked")

    def forget(self, *, credential_id: str = "", user_id: str = "") -> None:
        """What was known of this credential or user is looked up again."""
        self._epoch += 1
        self._known = {
            digest: entry
            for digest, entry in self._known.items()
            if entry[1].caller.credential_id != credential_id and entry[1].caller.user_id != user_id
        }

    def take_used(self) -> dict[str, float]:
        """When credentials were used since the last time this was asked, at most once a minute each."""
        used, self._used = self._used, {}
        self._written |= used
        return used

    async def _of(self, secret: str, find: Callable[..., Found | None]) -> Known:
        digest = secrets.digest(secret)
        now = self._clock()
        kept = self._known.get(digest)
        if kept is None or kept[0] < now:
            epoch = self._epoch
            kept = (now + FRESH, _known(await self._store.read(find, digest)))
            if epoch == self._epoch:
                self._keep(digest, kept)
        known = kept[1]
        if known.expires is not None and known.expires <= now:
            raise SteadError("unauthenticated", "the credential has expired")
        self._note(known.caller.credential_id, now)
        return known

    def _keep(self, digest: str, kept: tuple[float, Known]) -> None:
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[digest] = kept

    def _note(self, credential_id: str, now: float) -> None:
        if now - self._written.get(credential_id, 0.0) > TOUCH_AFTER:
            self._used.setdefault(credential_id, now)


def _known(found: Found | None) -> Known:
    if found is None:
        raise SteadError("unauthenticated", "the credential is unknown or was revoked")
    if found.disabled:
        raise SteadError("unauthenticated", "the user is disabled")
    via = "session" if found.kind == "session" else "token"
    caller = Caller(
        user_id=found.user_id,
        name=found.name,
        role=found.role,
        scopes=frozenset(found.scopes),
        via=via,
        credential_id=found.credential_id,
    )
    return Known(caller, found.expires)
