"""How long to wait before connecting again: full jitter, doubling, and a fresh start only after a useful connection.

Contract: `delay(lived)` after every failure or loss, with the seconds that the last connection was useful (0: never).
"""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST = 0.25
LIMIT = 30.0
USEFUL = 5.0


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
