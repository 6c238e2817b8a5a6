"""The end of a whole process tree: a signal, some grace, then KILL until nothing is left.

Contract: `Ending(loop, find, alive, signal, grace, done)` works by itself and calls `done(left)` once, with the processes it
could not end (stuck in the kernel) after `GIVE_UP` seconds of killing. `hasten` shortens the grace to nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal as signals
import time
from collections.abc import Callable

from stead.toolbox.holding.loop import Loop, Timer

GIVE_UP = 5.0
_ASK_AGAIN = 0.005
_ASK_SELDOM = 0.05
_EMPTY_LOOKS = 2
"""A process may fork between two looks at the table; only so many empty ones in a row count."""


class Ending:
    """One tree being ended."""

    def __init__(
        self,
        loop: Loop,
        find: Callable[[], list[int]],
        signal: int,
        grace: float,
        done: Callable[[list[int]], None],
    ) -> None:
        self._loop = loop
        self._find = find
        self._done = done
        self._empty = 0
        self._kill_at = time.monotonic() + (grace if signal != signals.SIGKILL else 0.0)
        self._timer: Timer | None = None
        send(find(), signal)
        self._timer = loop.after(_ASK_AGAIN, self._look)

    def hasten(self) -> None:
        """KILL from now on."""
        self._kill_at = min(self._kill_at, time.monotonic())
        self.wake()

    def wake(self) -> None:
        """Something ended: look now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.after(0.0, self._look)

    def _look(self) -> None:
        found = self._find()
        killing = time.monotonic() >= self._kill_at
        self._empty = 0 if found else self._empty + 1
        if self._empty >= _EMPTY_LOOKS or (killing and time.monotonic() > self._kill_at + GIVE_UP):
            self._timer = None
            self._done(found)
            return
        if killing:
            send(found, signals.SIGKILL)
        self._timer = self._loop.after(self._next(killing), self._look)

    def _next(self, killing: bool) -> float:
        if killing or self._empty:
            return _ASK_AGAIN
        return min(_ASK_SELDOM, max(0.0, self._kill_at - time.monotonic()))


def send(pids: list[int], signal: int) -> None:
    """To each that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal)
