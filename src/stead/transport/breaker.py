"""A circuit breaker: who failed often in a short time is left alone for a while, then tried once.

Contract: `check(now)` raises "workspace_unreachable" while the circuit is open; its details say in how many seconds another
attempt is of use (`retry_after`). `allow(now)` does the same and takes the probe when its time has come: every attempt that was
allowed is followed by `succeeded()`, `failed(now, why)` or `abandoned()`; `attempt(clock)` is all four. A success closes the
circuit after a probe; before, failures are forgotten by their age alone, for one who comes back only to fail again is no better
than one who stays away. Pure: the clock is the caller's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
        self._since = 0.0
        self._opened: float | None = None
        self._probing = False
        self._why: SteadError | None = None

    @property
    def state(self) -> str:
        if self._opened is None:
            return "closed"
        return "half-open" if self._probing else "open"

    @property
    def why(self) -> str:
        """The failure that came last, in words."""
        return "" if self._why is None else self._why.message

    def wait(self, now: float) -> float:
        """Seconds until an attempt may be made."""
        return 0.0 if self._opened is None else max(0.0, self._opened + self._rest - now)

    def check(self, now: float) -> None:
        """Whether an attempt could be made now."""
        wait = self.wait(now)
        if not self._probing and wait <= 0:
            return
        again = "being tried now" if self._probing else f"tried again in {wait:.0f} s"
        raise SteadError(
            "workspace_unreachable",
            f"the guest failed {self._limit} times within {self._window:g} s and is left alone since"
            f" {now - self._since:.0f} s; it is {again}; the last failure: {self.why}",
            retry_after=round(wait, 3),
        )

    def allow(self, now: float) -> None:
        """Whether an attempt may be made now; after the rest it is the probe."""
        self.check(now)
        self._probing = self._opened is not None

    def succeeded(self) -> None:
        """Closes a circuit that was open."""
        if self._opened is not None:
            self._failures.clear()
            self._opened = None
        self._probing = False

    def failed(self, now: float, why: SteadError) -> None:
        """Counts; opens the circuit at the limit, and again after a probe that failed. One failure that many hear of, each
        under the same error, counts once."""
        if why is self._why:
            return
        self._why = why
        self._failures.append(now)
        often = len(self._failures) == self._limit and now - self._failures[0] <= self._window
        if self._opened is None and often:
            self._since = now
        if self._opened is not None or often:
            self._opened = now
            self._probing = False

    def abandoned(self) -> None:
        """An attempt that told nothing, because its caller went away."""
        self._probing = False

    @contextmanager
    def attempt(self, clock: Callable[[], float]) -> Iterator[None]:
        """One attempt; an error of ours is a failure, anything else tells nothing."""
        self.allow(clock())
        try:
            yield
        except SteadError as error:
            self.failed(clock(), error)
            raise
        except BaseException:
            self.abandoned()
            raise
        self.succeeded()
