"""What goes wrong with a door each time that it is tried again: told once, and not again until it is something else.

Contract: `Complaints(log, retry)` of one door; `begin()` before each try, `tell(what)` after one that went wrong. One that had
lasted longer than the pause between two was a success, so that its end is told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable


class Complaints:
    """Those of one door; what is not told as a warning is told to who debugs."""

    def __init__(self, log: logging.Logger, retry: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._retry = retry
        self._clock = clock
        self._told = ""
        self._began = 0.0

    def begin(self) -> None:
        self._began = self._clock()

    def tell(self, what: str) -> None:
        again = what == self._told and self._clock() - self._began <= self._retry
        self._told = what
        self._log.log(logging.DEBUG if again else logging.WARNING, "%s; tried again in %g s", what, self._retry)
