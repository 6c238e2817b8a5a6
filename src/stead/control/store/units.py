"""Units of writing: what waits for the writer, what became of it, and who is told.

Contract: `Writer(commit)` runs `commit(waiting)` in a task of its own as long as units wait; `await writer.write(fn, args,
kwargs)` answers what `fn` answered once `commit` has settled its unit. A unit whose waiter went away is still done. `@long`
marks writing functions that may take tens of milliseconds, `@quick` reading ones that find a few rows by an index.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from stead.protocol.errors import SteadError

F = TypeVar("F", bound=Callable[..., Any])

MOST = 256
"""Units that share one commit at most."""
LONGEST = 0.05
"""Seconds after which a commit takes no more units."""
_LONG = "stead_long"
_QUICK = "stead_quick"


def long(fn: F) -> F:
    """Such a unit never runs where it would hold up the event loop."""
    setattr(fn, _LONG, True)
    return fn


def quick(fn: F) -> F:
    """Such a function costs less than a hand-over to a thread."""
    setattr(fn, _QUICK, True)
    return fn


def is_quick(fn: Callable[..., Any]) -> bool:
    """Whether it was marked so."""
    return getattr(fn, _QUICK, False)


class First(Protocol):
    """What comes first in the next unit of a task."""

    def before(self, conn: Connection) -> None:
        """In the unit, ahead of it; what it raises undoes the unit."""

    def done(self) -> None:
        """The unit is durable."""


FIRST: ContextVar[First | None] = ContextVar("first", default=None)
"""Set by who wants to be in the next unit that this task writes."""


class Unit:
    """One function to run in the writer, and the future of its result."""

    __slots__ = ("_args", "_error", "_first", "_fn", "_kwargs", "_result", "future")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], first: First | None = None
    ) -> None:
        self._first = first
        self._fn = fn
        self._args = args
        self._kwargs = kwargs
        self._result: Any = None
        self._error: Exception | None = None
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @property
    def failed(self) -> bool:
        return self._error is not None

    @property
    def is_long(self) -> bool:
        return getattr(self._fn, _LONG, False)

    def run(self, conn: Connection) -> None:
        """Runs the function; whatever it raises comes out."""
        if self._first is not None:
            self._first.before(conn)
        self._result = self._fn(conn, *self._args, **self._kwargs)

    def fail(self, error: Exception) -> None:
        """It did not happen."""
        self._error = error

    def again(self) -> None:
        """It is to run once more; only its last run counts."""
        self._error = None

    def tell(self) -> None:
        """Whoever waits learns what became of it."""
        if self.future.done():
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)


class Writer:
    """The units that wait, and the task that commits them."""

    def __init__(self, commit: Callable[[deque[Unit]], Awaitable[None]]) -> None:
        self._commit = commit
        self._waiting: deque[Unit] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._task = asyncio.create_task(self._work(), name="stead-writer")

    async def write(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of this unit, once it is durable."""
        if self._closed or self._task.done():
            raise closed()
        first = FIRST.get()
        if first is not None:
            FIRST.set(None)
        unit = Unit(fn, args, kwargs, first)
        self._waiting.append(unit)
        self._wake.set()
        result = await unit.future
        if first is not None:
            first.done()
        return result

    async def close(self) -> None:
        """Finishes what waits."""
        self._closed = True
        self._wake.set()
        await self._task

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._commit(self._waiting)
            if self._closed:
                return


def fail(taken: list[Unit], waiting: deque[Unit], error: Exception) -> None:
    """A commit failed: that of the units it had taken, or of all that wait where it could not even begin."""
    if not taken:
        taken.extend(waiting)
        waiting.clear()
    for unit in taken:
        if not unit.failed:
            unit.fail(error)


def settle(units: Iterable[Unit]) -> None:
    """Tells every waiter."""
    for unit in units:
        unit.tell()


def closed() -> SteadError:
    """What a closed store answers."""
    return SteadError("database_unavailable", "the store is closed")
