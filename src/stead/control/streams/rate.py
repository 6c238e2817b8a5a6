"""A steady pace for one link.

Contract: `Pace(per_second).take()` is False when the second's worth of tokens is used up. Cheap: one clock read.
"""

from __future__ import annotations

import time


class Pace:
    """One bucket of one second's worth."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._level = per_second
        self._at = time.monotonic()

    def take(self) -> bool:
        """Takes one token where there is one."""
        now = time.monotonic()
        self._level = min(self._per_second, self._level + (now - self._at) * self._per_second)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
