"""SQLite: one writer thread with group commit, a small pool of readers.

Contract: `SqliteStore(file)` implements `Store`; `connect(file)` gives a plain connection with our settings. Every
connection has WAL, full synchronisation, foreign keys and a busy timeout. A commit is shared by the units that wait for
it, each in its own savepoint. A file that is exchanged or was gone is opened again.
"""

from __future__ import annotations

import asyncio
import functools
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, event

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
"""SQLite lets go of the interpreter at every statement. At Python's 5 ms the writer, beside a busy event loop, would wait
that long to get it back each time."""
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
    event.listen(made, "begin", lambda conn: conn.exec_driver_sql(begin))
    return made


class SqliteStore:
    """The database of record in one file."""

    dialect = "sqlite"

    def __init__(self, file: Path, busy: float = BUSY_SECONDS) -> None:
        self.file = file
        self.hints = Hints()
        self._closed = False
        sys.setswitchinterval(SWITCH_SECONDS)
        self._writer = _Writer(file, busy, self.hints.announce)
        self._readers = _Readers(file, busy)

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise units.closed()
        return await self._readers.run(functools.partial(_call, fn, args, kwargs))

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise units.closed()
        unit = Unit(lambda conn: fn(conn, *args, **kwargs))
        self._writer.put(unit)
        result: T = await unit.outcome()
        return result

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._writer.close)
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


class _Writer:
    def __init__(self, file: Path, busy: float, announce: Callable[[], None]) -> None:
        self._opened = _Opened(engine(file, "BEGIN IMMEDIATE", busy), file)
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._announce = announce
        self._thread = threading.Thread(target=self._work, name="stead-writer", daemon=True)
        self._thread.start()

    def put(self, unit: Unit) -> None:
        self._queue.put(unit)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            if not self._commit(first):
                break
        self._opened.drop()

    def _commit(self, first: Unit) -> bool:
        """One transaction with as many units as wait for it; False when the last of all was among them."""
        batch = _Batch(self._queue, first)
        announce = None
        try:
            conn = self._opened.get()
            with conn.begin():
                later.begin(conn)
                for unit in batch:
                    _alone(conn, unit)
                later.flush(conn)
            if conn.info.pop(EVENTS, False):
                announce = self._announce
        except Exception as error:  # noqa: BLE001 - goes to everyone who waits for this commit
            self._opened.drop()
            batch.fail(translate(error))
        units.settle(batch.taken, announce)
        return not batch.last


class _Batch:
    """The units of one commit: the first, then those that wait already, within the bounds."""

    def __init__(self, source: queue.SimpleQueue[Unit | None], first: Unit) -> None:
        self.taken = [first]
        self.last = False
        self._source = source
        self._until = time.monotonic() + units.LONGEST

    def __iter__(self) -> _Batch:
        self._next = 0
        return self

    def __next__(self) -> Unit:
        if self._next == len(self.taken):
            self._take()
        self._next += 1
        return self.taken[self._next - 1]

    def _take(self) -> None:
        if len(self.taken) >= units.MOST or self.last or time.monotonic() > self._until:
            raise StopIteration
        try:
            unit = self._source.get_nowait()
        except queue.Empty:
            raise StopIteration from None
        if unit is None:
            self.last = True
            raise StopIteration
        self.taken.append(unit)

    def fail(self, error: Exception) -> None:
        for unit in self.taken:
            if not unit.failed:
                unit.fail(error)


def _alone(conn: Connection, unit: Unit) -> None:
    """Runs one unit so that its failure undoes only itself."""
    raw = conn.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
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

    async def run(self, fn: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, fn)

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
        for opened in self._all:
            opened.drop()
