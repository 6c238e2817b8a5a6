"""Token buckets: how much one caller may do in a time.

Contract: `Rates(per_second, burst).take(key)` raises "rate_limited" when the bucket of that key is empty. The clock comes
in as an argument; memory is bounded by forgetting full buckets.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stead.protocol.errors import SteadError

_KEYS = 10_000


class Rates:
    """One bucket a key, filled steadily."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, amount: float = 1.0) -> None:
        """Takes from the bucket, or "rate_limited" with how long to wait."""
        now = self._clock()
        left = self._level(key, now) - amount
        if left < 0:
            raise SteadError("rate_limited", "too many requests", retry_after=round(-left / self._per_second, 3))
        self._put(key, left, now)

    def check(self, key: str) -> None:
        """Raises like `take` when the bucket is empty, but takes nothing."""
        if (left := self._level(key, self._clock())) < 1:
            raise SteadError("rate_limited", "too many attempts", retry_after=round((1 - left) / self._per_second, 3))

    def _level(self, key: str, now: float) -> float:
        level, at = self._buckets.get(key, (self._burst, now))
        return min(self._burst, level + (now - at) * self._per_second)

    def _put(self, key: str, level: float, now: float) -> None:
        if len(self._buckets) >= _KEYS and key not in self._buckets:
            self._buckets = {k: v for k, v in self._buckets.items() if self._level(k, now) < self._burst}
        if len(self._buckets) < _KEYS or key in self._buckets:
            self._buckets[key] = (level, now)
