"""The claim of an Idempotency-Key: made before the effect of its request, or in the same unit.

Contract: `claim_of(scope)` is the claim of a request that has a key. It is `take`n, or rides in a unit of the store
(`stead.control.store.units.FIRST`). Afterwards it is `taken`, `refused`, or there is a `kept` answer; none of these where
the request failed before it had any effect.
"""

from __future__ import annotations

import time
from typing import Any

from stead.control.http.scope import state_of
from stead.control.store import idempotency
from stead.control.store.idempotency import Kept
from stead.control.store.rows import Connection
from stead.control.store.store import Store
from stead.protocol.errors import SteadError

_CLAIM = "claim"
_REFUSALS = ("key_reused", "in_progress")


class Claim:
    """One request's."""

    def __init__(self, store: Store, user: str, key: str, fingerprint: str, boot_id: str) -> None:
        self.user = user
        self.key = key
        self.tried = False
        self.taken = False
        self.refused = False
        self.kept: Kept | None = None
        self._store = store
        self._fingerprint = fingerprint
        self._boot_id = boot_id

    async def take(self) -> None:
        """Claims now, or raises."""
        try:
            kept = await self._store.write(
                idempotency.claim, self.user, self.key, self._fingerprint, self._boot_id, time.time()
            )
        except SteadError as error:
            self.refused = error.code in _REFUSALS
            raise
        self._found(kept)
        self.taken = True

    def before(self, conn: Connection) -> None:
        """Claims in the unit of the effect, or raises, so that there is none."""
        self.tried, self.refused, self.kept = True, False, None
        try:
            kept = idempotency.claim(conn, self.user, self.key, self._fingerprint, self._boot_id, time.time())
        except SteadError as error:
            self.refused = error.code in _REFUSALS
            raise
        self._found(kept)

    def done(self) -> None:
        """The effect is durable, and so is this."""
        self.taken = True

    def _found(self, kept: Kept | None) -> None:
        if kept is not None:
            self.kept = kept
            raise SteadError("in_progress", "the request has an answer already")


def put_claim(scope: Any, claim: Claim) -> None:
    """The request's claim, for whoever comes to its effect."""
    state_of(scope)[_CLAIM] = claim


def claim_of(scope: Any) -> Claim | None:
    """The request's claim, where it has a key."""
    found = state_of(scope).get(_CLAIM)
    return found if isinstance(found, Claim) else None
