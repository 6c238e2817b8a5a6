"""Faults for `stead.transport.memory`, drawn from a seed so that a failure can be repeated.

Contract: `Faults(seed, ...)` is called with each message and says when it arrives and how often. Frames may be lost,
doubled and delayed; text messages are only delayed, in order, because a real link loses them only by breaking.
"""

from __future__ import annotations

import asyncio
import random

from stead.protocol.errors import SteadError
from stead.transport.memory import Fate


class Faults:
    """What happens to messages on one way."""

    def __init__(
        self, seed: int, *, lose: float = 0.0, double: float = 0.0, delay: float = 0.0, cut_after: int | None = None
    ) -> None:
        self._random = random.Random(seed)
        self._lose = lose
        self._double = double
        self._delay = delay
        self._left = cut_after
        self._text_at = 0.0
        self.lost = 0
        self.doubled = 0

    def __call__(self, message: str | bytes) -> Fate:
        """When and how often this message arrives."""
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise SteadError("unavailable", "the link was cut")
        if isinstance(message, str):
            return [(self._in_order(), message)]
        if self._random.random() < self._lose:
            self.lost += 1
            return []
        copies = 1
        if self._random.random() < self._double:
            self.doubled += 1
            copies = 2
        return [(self._pause(), message) for _ in range(copies)]

    def _pause(self) -> float:
        return self._random.random() * self._delay

    def _in_order(self) -> float:
        """A pause that does not let this text overtake the one before."""
        now = asyncio.get_running_loop().time()
        self._text_at = max(self._text_at, now + self._pause())
        return self._text_at - now
