"""Units of writing: what waits for the writer, what became of it, and who is told.

Contract: `Unit(fn)` belongs to the event loop that made it; the writer calls `run`, later `settle(units)` from any
thread. A unit whose waiter went away is still done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection

from stead.protocol.errors import SteadError

MOST = 256
"""Units that share one commit at most."""
LONGEST = 0.05
"""Seconds after which a commit takes no more units."""


class Unit:
    """One function to run in the writer, and the future of its result."""

    __slots__ = ("_error", "_fn", "_future", "_loop", "_result")

    def __init__(self, fn: Callable[[Connection], Any]) -> None:
        self._fn = fn
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] = self._loop.create_future()
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def failed(self) -> bool:
        return self._error is not None

    def run(self, conn: Connection) -> None:
        """Runs the function; whatever it raises comes out."""
        self._result = self._fn(conn)

    def fail(self, error: Exception) -> None:
        """It did not happen."""
        self._error = error

    def again(self) -> None:
        """It is to run once more; only its last run counts."""
        self._error = None

    async def outcome(self) -> Any:
        """The result, once it is durable."""
        return await self._future

    def _tell(self) -> None:
        if self._future.done():
            return
        if self._error is not None:
            self._future.set_exception(self._error)
        else:
            self._future.set_result(self._result)


def settle(units: Iterable[Unit], announce: Callable[[], None] | None) -> None:
    """Tells every waiter, in one step of each loop; `announce` runs in the loop too."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Unit]] = {}
    for unit in units:
        by_loop.setdefault(unit._loop, []).append(unit)  # noqa: SLF001
    for loop, mine in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_tell_all, mine, announce)


def _tell_all(units: list[Unit], announce: Callable[[], None] | None) -> None:
    for unit in units:
        unit._tell()  # noqa: SLF001
    if announce is not None:
        announce()


def closed() -> SteadError:
    """What a closed store answers."""
    return SteadError("database_unavailable", "the store is closed")
