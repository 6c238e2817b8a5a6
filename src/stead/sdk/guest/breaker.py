"""A circuit breaker: who failed often in a short time is left alone for a while, then tried once.

Contract: `allow(now)` raises "unavailable" while the circuit is open; every attempt that was allowed is followed by
`succeeded()`, `failed(now)` or `abandoned()`. Pure: the clock is the caller's.
"""

from __future__ import annotations

from collections import deque

from stead.protocol.errors import SteadError

FAILURES = 5
WINDOW = 60.0
"""So many failures within so many seconds open the circuit."""
REST = 10.0
"""Seconds that it stays open before one probe is let through."""


class Breaker:
    """The circuit to one far end. Closed: all pass. Open: none. Half open: one probe decides."""

    def __init__(self, failures: int = FAILURES, window: float = WINDOW, rest: float = REST) -> None:
        self._limit = failures
        self._window = window
        self._rest = rest
        self._failures: deque[float] = deque(maxlen=failures)
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        if self._opened is None:
            return "closed"
        return "half-open" if self._probing else "open"

    def allow(self, now: float) -> None:
        """Whether an attempt may be made now."""
        if self._opened is None:
            return
        wait = self._opened + self._rest - now
        if self._probing or wait > 0:
            raise SteadError(
                "unavailable",
                f"it failed {self._limit} times within {self._window:g} s; tried again in {max(wait, 0):.0f} s",
            )
        self._probing = True

    def succeeded(self) -> None:
        """Closes the circuit."""
        self._failures.clear()
        self._opened = None
        self._probing = False

    def failed(self, now: float) -> None:
        """Counts; opens the circuit at the limit, and again after a probe that failed."""
        self._failures.append(now)
        often = len(self._failures) == self._limit and now - self._failures[0] <= self._window
        if self._opened is not None or often:
            self._opened = now
            self._probing = False

    def abandoned(self) -> None:
        """An attempt that told nothing, because its caller went away."""
        self._probing = False
