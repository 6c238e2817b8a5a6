"""What lives by a credential: links, event streams, downloads. They end with it.

Contract: `async with Live.by(caller, expires)` runs something; `cut(credential_id=..., user_id=...)` or the passing of
`expires` cancels it within a second. The scope it yields tells by `cancelled_caught` that it was cut.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import msgspec

from stead.control.people.caller import Caller


class Thing(msgspec.Struct, eq=False):
    """One thing that lives."""

    user_id: str
    credential_id: str
    scope: anyio.CancelScope


class Live:
    """All that lives by credentials in this process."""

    def __init__(self) -> None:
        self._things: set[Thing] = set()

    @contextmanager
    def by(self, caller: Caller, expires: float | None) -> Iterator[anyio.CancelScope]:
        """What runs inside is cancelled when the credential ends."""
        with anyio.CancelScope(deadline=_deadline(expires)) as scope:
            thing = Thing(caller.user_id, caller.credential_id, scope)
            self._things.add(thing)
            try:
                yield scope
            finally:
                self._things.discard(thing)

    def cut(self, *, credential_id: str = "", user_id: str = "") -> int:
        """Cancels what lives by this credential, or by any of this user; answers how much."""
        found = [
            thing
            for thing in self._things
            if (credential_id and thing.credential_id == credential_id) or (user_id and thing.user_id == user_id)
        ]
        for thing in found:
            thing.scope.cancel()
        return len(found)

    def count(self, user_id: str) -> int:
        """How much lives by this user."""
        return sum(thing.user_id == user_id for thing in self._things)


def _deadline(expires: float | None) -> float:
    return math.inf if expires is None else anyio.current_time() + max(0.0, expires - time.time())
