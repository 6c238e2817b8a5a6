"""SQLite: one writer with group commit, a small pool of readers.

Contract: `SqliteStore(file)` implements `Store`, within a running event loop; `connect(file)` gives a plain connection with
our settings. Every connection has WAL, full synchronisation, foreign keys and a busy timeout. A commit is shared by the
units that wait for it, each in its own savepoint. A file that is exchanged or was gone is opened again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from stead.control.store import later, units
from stead.control.store.events import EVENTS, Hints
from stead.control.store.faults import translate
from stead.control.store.units import Unit
from stead.protocol.errors import SteadError

P = ParamSpec("P")
T = TypeVar("T")

READERS = 4
BUSY_SECONDS = 5.0
SWITCH_SECONDS = 0.0005
"""SQLite lets go of the interpreter at every statement. At Python's 5 ms a reader, beside a busy event loop, would wait
that long to get it back each time."""
IN_LOOP = 0.01
"""Seconds after which a commit takes no more units, since they run in the event loop."""
SLOW = 0.02
SLOW_FOR = 1.0
"""A unit that took longer than the one sends those of the next seconds to the thread."""
Identity = tuple[int, int]


def connect(file: Path, busy: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection with our settings, without Python's own transactions."""
    raw = sqlite3.connect(file, timeout=busy, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA temp_store = MEMORY")
    except sqlite3.Error:
        raw.close()
        raise
    return raw


def engine(file: Path, begin: str, busy: float = BUSY_SECONDS) -> Engine:
    """An engine whose transactions start with the given statement."""
    made = create_engine("sqlite://", creator=lambda: connect(file, busy), poolclass=NullPool)
    event.listen(made, "begin", lambda conn: _raw(conn).execute(begin))
    return made


class SqliteStore:
    """The database of record in one file."""

    dialect = "sqlite"

    def __init__(self, file: Path, busy: float = BUSY_SECONDS) -> None:
        self.file = file
        self.hints = Hints()
        self._closed = False
        sys.setswitchinterval(SWITCH_SECONDS)
        self._commits = _Commits(file, busy, self.hints.announce)
        self._writer = units.Writer(self._commits.commit)
        self._readers = _Readers(file, busy)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise units.closed()
        return await self._readers.run(functools.partial(_call, fn, args, kwargs), quick=units.is_quick(fn))

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._writer.write(fn, args, kwargs)
        return result

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._writer.close()
            await asyncio.to_thread(self._commits.close)
            await asyncio.to_thread(self._readers.close)


def _call(fn: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object], conn: Connection) -> T:
    return fn(conn, *args, **kwargs)


class _Opened:
    """One connection of one thread, opened again when the file is another one by now."""

    def __init__(self, made: Engine, file: Path) -> None:
        self._engine = made
        self._file = file
        self._conn: Connection | None = None
        self._identity: Identity | None = None

    def present(self) -> Connection | None:
        """The connection, where it is there and to the file of now."""
        return self._conn if self._conn is not None and _identity(self._file) == self._identity else None

    def get(self) -> Connection:
        identity = _identity(self._file)
        if self._conn is not None and identity != self._identity:
            self.drop()
        if identity is None:
            raise SteadError("database_unavailable", "the database file is gone")
        if self._conn is None:
            self._conn = self._engine.connect()
            self._identity = identity
        return self._conn

    def drop(self) -> None:
        if self._conn is not None:
            self._conn.invalidate()
            self._conn.close()
            self._conn = None


def _identity(file: Path) -> Identity | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Pace:
    """Notes how long something in the event loop takes; after what took too long all is slow for a while."""

    def __init__(self) -> None:
        self._until = 0.0
        self._began = 0.0

    @property
    def is_slow(self) -> bool:
        return time.monotonic() < self._until

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        if now - self._began > SLOW:
            self._until = now + SLOW_FOR


class _Commits:
    """Commits units in groups. Units run in the event loop, for each takes less than a hand-over to a thread; what may take
    longer has a thread: waiting for other programs, the commit itself, long units, and all of them while the disk is slow."""

    def __init__(self, file: Path, busy: float, announce: Callable[[], None]) -> None:
        self._opened = _Opened(engine(file, "BEGIN IMMEDIATE", busy), file)
        self._patience = round(busy * 1000)
        self._announce = announce
        self._thread = ThreadPoolExecutor(1, "stead-writer")
        self._pace = _Pace()

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._opened.drop()

    async def commit(self, waiting: deque[Unit]) -> None:
        """One transaction with as many units as wait for it, within the bounds."""
        taken: list[Unit] = []
        announce = False
        try:
            conn = await self._begin()
            later.begin(conn)
            await self._run(conn, waiting, taken)
            await self._aside(_end, conn)
            announce = conn.info.pop(EVENTS, False)
        except Exception as error:  # noqa: BLE001 - goes to everyone who waits for this commit
            await self._aside(self._opened.drop)
            units.fail(taken, waiting, translate(error))
        units.settle(taken)
        if announce:
            self._announce()

    async def _begin(self) -> Connection:
        """At once where the file is open and nobody else writes to it."""
        conn = self._opened.present()
        if conn is not None:
            with contextlib.suppress(sqlite3.OperationalError):
                conn.begin()
                return conn
        return await self._aside(self._begin_patiently)

    def _begin_patiently(self) -> Connection:
        conn = self._opened.get()
        raw = _raw(conn)
        raw.execute(f"PRAGMA busy_timeout = {self._patience}")
        conn.begin()
        raw.execute("PRAGMA busy_timeout = 0")
        return conn

    async def _run(self, conn: Connection, waiting: deque[Unit], taken: list[Unit]) -> None:
        until = time.monotonic() + IN_LOOP
        while waiting and len(taken) < units.MOST and time.monotonic() < until:
            unit = waiting.popleft()
            taken.append(unit)
            if unit.is_long or self._pace.is_slow:
                await self._aside(_alone, conn, unit)
            else:
                with self._pace:
                    _alone(conn, unit)

    async def _aside(self, fn: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, fn, *args)


def _end(conn: Connection) -> None:
    later.flush(conn)
    transaction = conn.get_transaction()
    assert transaction is not None
    transaction.commit()


def _raw(conn: Connection) -> sqlite3.Connection:
    raw = conn.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _alone(conn: Connection, unit: Unit) -> None:
    """Runs one unit so that its failure undoes only itself."""
    raw = _raw(conn)
    mark = later.mark(conn)
    raw.execute("SAVEPOINT unit")
    try:
        unit.run(conn)
    except Exception as error:
        if not raw.in_transaction:
            raise
        raw.execute("ROLLBACK TO unit")
        later.undo(conn, mark)
        unit.fail(translate(error))
    raw.execute("RELEASE unit")


class _Readers:
    def __init__(self, file: Path, busy: float) -> None:
        self._engine = engine(file, "BEGIN", busy)
        self._file = file
        self._mine = threading.local()
        self._all: list[_Opened] = []
        self._pool = ThreadPoolExecutor(READERS, "stead-reader")
        self._here = _Opened(self._engine, file)
        self._opening = False
        self._pace = _Pace()

    async def run(self, fn: Callable[[Connection], T], *, quick: bool) -> T:
        """In the event loop where that is quick and the file is open, else, or if that fails, in a thread."""
        if quick and not self._pace.is_slow and not self._opening:
            conn = self._here.present()
            if conn is None:
                await self._open_here()
            else:
                with self._pace, contextlib.suppress(sqlite3.Error, DBAPIError), conn.begin():
                    return fn(conn)
                self._here.drop()
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, fn)

    async def _open_here(self) -> None:
        """Opens the event loop's own connection. What is wrong with the file is told by the read itself."""
        self._opening = True
        try:
            with contextlib.suppress(SteadError, sqlite3.Error, DBAPIError):
                await asyncio.get_running_loop().run_in_executor(self._pool, self._here.get)
                if (conn := self._here.present()) is not None:
                    _raw(conn).execute("PRAGMA busy_timeout = 0")
        finally:
            self._opening = False

    def _run(self, fn: Callable[[Connection], T]) -> T:
        opened = self._opened()
        try:
            conn = opened.get()
            with conn.begin():
                return fn(conn)
        except Exception as error:
            if (clear := translate(error)) is error:
                raise
            opened.drop()
            raise clear from error

    def _opened(self) -> _Opened:
        found: _Opened | None = getattr(self._mine, "opened", None)
        if found is None:
            found = self._mine.opened = _Opened(self._engine, self._file)
            self._all.append(found)
        return found

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        for opened in [*self._all, self._here]:
            opened.drop()
