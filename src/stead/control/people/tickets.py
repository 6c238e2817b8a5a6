"""Tickets: a browser cannot send headers with a WebSocket, so it sends one of these in the address, once, soon.

Contract: `issue(known) -> Ticket`; `redeem(secret) -> Known` works once within the lifetime, else "unauthenticated".
Tickets live in memory only: a restart voids them, and the page asks for another.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stead.api.types import Ticket
from stead.control.people import secrets
from stead.control.people.identity import Known
from stead.protocol.errors import SteadError

_MOST = 10_000


class Tickets:
    """The tickets that were not used yet."""

    def __init__(self, lifetime: float, clock: Callable[[], float] = time.time) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._open: dict[str, tuple[float, Known]] = {}

    def issue(self, known: Known) -> Ticket:
        """A new one, for the same caller."""
        now = self._clock()
        self._open = {digest: entry for digest, entry in self._open.items() if entry[0] > now}
        if len(self._open) >= _MOST:
            raise SteadError("too_many", "too many tickets are open")
        secret, digest = secrets.make(secrets.TICKET)
        self._open[digest] = (now + self._lifetime, known)
        return Ticket(ticket=secret, expires=now + self._lifetime)

    def redeem(self, secret: str) -> Known:
        """The caller it was made for; it is used up with this."""
        expires, known = self._open.pop(secrets.digest(secret), (0.0, None))
        if known is None or expires <= self._clock():
            raise SteadError("unauthenticated", "the ticket is wrong, used or too old")
        return known

    def forget(self, *, credential_id: str = "", user_id: str = "") -> None:
        """Voids the tickets that came from this credential or user."""
        self._open = {
            digest: entry
            for digest, entry in self._open.items()
            if entry[1].caller.credential_id != credential_id and entry[1].caller.user_id != user_id
        }
