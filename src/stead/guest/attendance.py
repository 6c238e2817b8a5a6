"""Who attends which exec: a foreground exec that nobody attends any more is ended.

Contract: `enter` and `leave` around every stream and call of an exec. Left by someone who gave it up, it is cancelled at once;
left by a lost link (or by a guest that died), it has `patience` seconds for someone to come back. Background execs never
mind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from stead.protocol.errors import SteadError
from stead.toolbox.contract import ExecState, ExecStatus


class Attendance:
    """Counts, and cancels through the given functions."""

    def __init__(
        self,
        patience: float,
        show: Callable[[str], Awaitable[ExecStatus]],
        cancel: Callable[[str], Awaitable[ExecStatus]],
    ) -> None:
        self._patience = patience
        self._show = show
        self._cancel = cancel
        self._present: Counter[str] = Counter()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def enter(self, exec_id: str) -> None:
        """Somebody is there."""
        self._present[exec_id] += 1
        timer = self._timers.pop(exec_id, None)
        if timer is not None:
            timer.cancel()

    def leave(self, exec_id: str, *, given_up: bool) -> None:
        """Somebody left before the end."""
        self.left(exec_id)
        if exec_id not in self._present:
            self.watch(exec_id, 0.0 if given_up else self._patience)

    def left(self, exec_id: str) -> None:
        """Somebody left after the end."""
        self._present[exec_id] -= 1
        if self._present[exec_id] <= 0:
            del self._present[exec_id]

    def watch(self, exec_id: str, seconds: float | None = None) -> None:
        """Nobody is there: ends it unless somebody comes in time."""
        old = self._timers.pop(exec_id, None)
        if old is not None:
            old.cancel()
        wait = self._patience if seconds is None else seconds
        self._timers[exec_id] = asyncio.get_running_loop().call_later(wait, self._expired, exec_id)

    def close(self) -> None:
        """Nothing is ended any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()

    def _expired(self, exec_id: str) -> None:
        del self._timers[exec_id]
        task = asyncio.get_running_loop().create_task(self._end(exec_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, exec_id: str) -> None:
        try:
            status = await self._show(exec_id)
            if status.state is ExecState.RUNNING and not status.background and exec_id not in self._present:
                await self._cancel(exec_id)
        except SteadError:
            return
