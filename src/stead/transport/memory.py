"""`Messages` inside one process, with faults where wanted.

Contract: `pair(faults=None)` gives two connected ends. A fault decides what becomes of each message: a list of `(delay,
message)`, empty when it is lost, several when it is doubled; the link is cut when it raises SteadError. What waits is
bounded (`QUEUE_BYTES`), then `send` waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from stead.protocol.connections import Outgoing, whole
from stead.protocol.errors import SteadError

QUEUE_BYTES = 256 << 10

Fate = Sequence[tuple[float, str | bytes]]
Faults = Callable[[str | bytes], Fate]


class MemoryEnd:
    """One end."""

    def __init__(self, faults: Faults | None) -> None:
        self._faults = faults
        self._queue: deque[str | bytes] = deque()
        self._held = 0
        self._closed = False
        self._other: MemoryEnd = self
        self._changed: list[asyncio.Future[None]] = []

    def join(self, other: MemoryEnd) -> None:
        """What is sent here arrives there."""
        self._other = other

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        while not self._queue:
            if self._closed:
                return None
            await self._wait()
        message = self._queue.popleft()
        self._held -= len(message)
        self._other.wake()
        return message

    async def send(self, message: str | bytes) -> None:
        """Returns when the message is taken."""
        while not self._closed and not self._other.takes():
            await self._wait()
        if self._closed:
            raise SteadError("unavailable", "the connection is closed")
        self.put([message])

    def ready(self) -> bool:
        """Whether `put` may be called now."""
        return not self._closed and self._other.takes()

    def put(self, messages: Sequence[Outgoing]) -> None:
        """Takes these at once."""
        for message in map(whole, messages):
            if not self._closed:
                self._pass_on(message)

    def _pass_on(self, message: str | bytes) -> None:
        if self._faults is None:
            self._other.deliver(message)
            return
        try:
            fate = self._faults(message)
        except SteadError:
            self.cut()
            return
        for delay, copy in fate:
            if delay > 0:
                asyncio.get_running_loop().call_later(delay, self._other.deliver, copy)
            else:
                self._other.deliver(copy)

    def takes(self) -> bool:
        """Whether there is room for more."""
        return self._held < QUEUE_BYTES

    def deliver(self, message: str | bytes) -> None:
        """A message arrives, unless this end is closed."""
        if not self._closed:
            self._queue.append(message)
            self._held += len(message)
            self.wake()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes both ends; what arrived can still be received there."""
        self.cut()

    def cut(self) -> None:
        """The connection is gone."""
        self.end()
        self._other.end()

    def end(self) -> None:
        """Nothing more is sent or delivered at this end."""
        self._closed = True
        self.wake()

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._changed.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._changed:
                self._changed.remove(waiter)

    def wake(self) -> None:
        """Something changed for those who wait."""
        waiters, self._changed = self._changed, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def pair(faults: Faults | None = None, back: Faults | None = None) -> tuple[MemoryEnd, MemoryEnd]:
    """Two connected ends; `faults` act on what the first sends, `back` (or the same) on what the second sends."""
    first, second = MemoryEnd(faults), MemoryEnd(back or faults)
    first.join(second)
    second.join(first)
    return first, second
