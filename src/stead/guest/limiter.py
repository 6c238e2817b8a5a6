"""How much a guest does at once, how often and for how long, whoever asks and however: the limits of a configuration.

Contract: a `Limiter` counts the requests that share it; `with limiter.admitted():` is around one, for as long as it is served,
or as what it opened flows. It raises "too_many" or "rate_limited" before anything was done, with the seconds after which to
come again as `retry_after`. Who only asks whether the guest is alive, or ends something, is never counted.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec

from stead.protocol.errors import SteadError
from stead.protocol.guest import LINE_BYTES, MAX_EXEC_SECONDS

CONCURRENT = 16
"""Requests of one JSON-RPC channel at once, where no configuration says otherwise; a ping is always answered."""
AGAIN_SECONDS = 1.0
"""When to come again, where all places are taken."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The numbers; 0 is none. `seconds` holds for what has no time limit of its own, `exec_seconds` for a shell line of
    a serial line, which names none."""

    line_bytes: int = LINE_BYTES
    concurrent: int = CONCURRENT
    per_second: float = 0.0
    seconds: float = 0.0
    exec_seconds: float = MAX_EXEC_SECONDS


DEFAULT = Limits()
NONE = Limits(concurrent=0)


class Rate:
    """A bucket of one second's requests that fills steadily."""

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._left = self._most
        self._at = now

    def take(self, now: float) -> float:
        """0.0 for one more; else the seconds until there is one."""
        if not self._per_second:
            return 0.0
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._per_second
        self._left -= 1
        return 0.0


class Limiter:
    """The count of one channel, or of one door."""

    def __init__(self, limits: Limits = NONE, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.running = 0
        self._clock = clock
        self._rate = Rate(limits.per_second, clock())

    def enter(self) -> None:
        """One more, or why not; `leave` goes with it."""
        most = self.limits.concurrent
        if most and self.running >= most:
            raise SteadError("too_many", f"at most {most} requests at once", retry_after=AGAIN_SECONDS)
        if wait := self._rate.take(self._clock()):
            words = f"at most {self.limits.per_second:g} requests a second"
            raise SteadError("rate_limited", words, retry_after=math.ceil(wait * 1000) / 1000)
        self.running += 1

    def leave(self) -> None:
        self.running -= 1

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """While one is served."""
        self.enter()
        try:
            yield
        finally:
            self.leave()


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Ends what takes longer; 0 is no limit."""
    try:
        async with asyncio.timeout(seconds or None):
            yield
    except TimeoutError:
        raise SteadError("timeout", f"{what} took longer than {seconds:g} s") from None
