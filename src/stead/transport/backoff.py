"""How long to wait before connecting again: full jitter, doubling, and a fresh start only after a useful connection.

Contract: `delay(lived)` after every failure or loss, with the seconds that the last connection was useful (0: never).
`Absence` is the patience of one request with a far part that is gone for a moment, as one that is started again is, or that
refused it for now and said when to come again: then nothing was done, and any request may be made again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import anyio

from stead.protocol.errors import SteadError

FIRST = 0.25
LIMIT = 30.0
USEFUL = 5.0
AWAY = frozenset({"unavailable", "node_unreachable", "workspace_unreachable", "outcome_unknown"})
"""Faults that say that a part beyond the link does not answer now, or went away before it did."""
LATER = frozenset({"too_many", "rate_limited"})
"""Refusals before anything was done."""
AWAY_SECONDS = 10.0
"""How long a request that may be repeated waits for such a part."""
_LEAST = 0.02


class Backoff:
    """The waits of one client."""

    def __init__(
        self,
        first: float = FIRST,
        limit: float = LIMIT,
        useful: float = USEFUL,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._limit = limit
        self._useful = useful
        self._draw = draw
        self._failures = 0

    def delay(self, lived: float = 0.0, at_least: float = 0.0) -> float:
        """Seconds to wait now; never less than the other side asked for."""
        if lived >= self._useful:
            self._failures = 0
        ceiling = min(self._limit, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return at_least + ceiling * self._draw()


class Absence:
    """One request's patience; it begins with the first fault."""

    def __init__(self, seconds: float = AWAY_SECONDS) -> None:
        self._seconds = seconds
        self._until = 0.0
        self._backoff = Backoff(limit=1.0)

    async def pause(self, error: SteadError, *, repeat: bool = True) -> None:
        """Waits a moment before the next try, or as long as the other side asked for; raises the error where another try is
        not safe, of no use or too late."""
        now = time.monotonic()
        self._until = self._until or now + self._seconds
        asked = _asked(error)
        again = (repeat and error.code in AWAY) or (asked > 0 and error.code in LATER)
        if not again or now + asked >= self._until:
            raise error
        await anyio.sleep(self._backoff.delay(at_least=max(_LEAST, asked)))


def _asked(error: SteadError) -> float:
    """The pause that the error itself asks for."""
    asked = error.details.get("retry_after", 0.0)
    return float(asked) if isinstance(asked, int | float) else 0.0
