"""PostgreSQL: the same repository functions over asyncpg, with the same single writer and group commit.

Contract: `PostgresStore(url)` implements `Store`. An advisory lock makes the writers of all processes on one database
take turns, so that events become visible in the order of their numbers. A lost server is dialled again at the next use.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from stead.control.store import later, units
from stead.control.store.events import EVENTS, Hints
from stead.control.store.faults import translate
from stead.control.store.prepared import Prepared
from stead.control.store.units import Unit
from stead.protocol.errors import SteadError

P = ParamSpec("P")
T = TypeVar("T")

READERS = 8
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
TURN = text("SELECT pg_advisory_xact_lock(7300)")
_TURN = Prepared(TURN)


def engine(url: str, **options: Any) -> AsyncEngine:
    """An engine for an address that starts with postgresql://."""
    address = "postgresql+asyncpg://" + url.partition("://")[2]
    return create_async_engine(
        address,
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=CONNECT_SECONDS * 2,
        connect_args={"timeout": CONNECT_SECONDS, "command_timeout": ANSWER_SECONDS},
        **options,
    )


class PostgresStore:
    """The database of record on a server."""

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        self.hints = Hints()
        self._readers = engine(url, isolation_level="AUTOCOMMIT")
        self._engine = engine(url)
        event.listen(self._engine.sync_engine, "before_cursor_execute", _settle)
        self._closed = False
        self._conn: AsyncConnection | None = None
        self._writer = units.Writer(self._commit)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise units.closed()

        def run(conn: Connection) -> T:
            return fn(conn, *args, **kwargs)

        try:
            return await self._read(run)
        except SteadError as error:
            if error.code != "database_unavailable":
                raise
            return await self._read(run)

    async def _read(self, run: Callable[[Connection], T]) -> T:
        try:
            async with self._readers.connect() as conn:
                return await conn.run_sync(run)
        except Exception as error:
            if (clear := translate(error)) is error:
                raise
            raise clear from error

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._writer.write(fn, args, kwargs)
        return result

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._writer.close()
            await self._let_go()
            await self._engine.dispose()
            await self._readers.dispose()

    async def _commit(self, waiting: deque[Unit]) -> None:
        """One transaction with as many units as wait for it; a connection that died while idle is tried again."""
        taken: list[Unit] = []
        announce = False
        for again in (True, False):
            try:
                if self._conn is None:
                    self._conn = await self._engine.connect()
                announce = await self._conn.run_sync(_batch, waiting, taken)
                break
            except Exception as error:  # noqa: BLE001 - goes to everyone who waits for this commit
                await self._let_go()
                if again and not taken:
                    continue
                units.fail(taken, waiting, translate(error))
        units.settle(taken)
        if announce:
            self.hints.announce()

    async def _let_go(self) -> None:
        """The writer's connection is made anew by the next commit."""
        conn, self._conn = self._conn, None
        if conn is not None:
            with contextlib.suppress(DBAPIError, OSError):
                await conn.close()


def _settle(conn: Connection, *_: object) -> None:
    """A statement of the library's own is about to be run: who knows what it sees."""
    later.before(conn, None)


def _batch(conn: Connection, waiting: deque[Unit], taken: list[Unit]) -> bool:
    """All that waits without savepoints, for they cost two round trips each; once more with them if one fails."""
    with conn.begin() as transaction:
        _TURN.run(conn, {})
        later.begin(conn, changes=True)
        well = _plainly(conn, waiting, taken)
        if not well:
            transaction.rollback()
    if not well:
        with conn.begin():
            _TURN.run(conn, {})
            later.begin(conn)
            for unit in taken:
                _alone(conn, unit)
            later.flush(conn)
    return bool(conn.info.pop(EVENTS, False))


def _plainly(conn: Connection, waiting: deque[Unit], taken: list[Unit]) -> bool:
    """Whether all of them went well."""
    until = time.monotonic() + units.LONGEST
    while waiting and len(taken) < units.MOST and time.monotonic() < until:
        taken.append(waiting.popleft())
        try:
            taken[-1].run(conn)
        except Exception as error:
            if conn.invalidated or conn.closed:
                raise
            taken[-1].fail(translate(error))
            return False
    try:
        later.flush(conn)
    except Exception:
        if conn.invalidated or conn.closed:
            raise
        return False
    return True


def _alone(conn: Connection, unit: Unit) -> None:
    """Runs one unit so that its failure undoes only itself; a lost connection is everybody's failure."""
    unit.again()
    mark = later.mark(conn)
    try:
        with conn.begin_nested():
            unit.run(conn)
    except Exception as error:
        if conn.invalidated or conn.closed:
            raise
        later.undo(conn, mark)
        unit.fail(translate(error))
