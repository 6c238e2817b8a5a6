"""The journal's database: one SQLite file, one writing thread, many writes in one durable commit.

Contract: `Ledger.open(path)`; `await run(work)` gives `work` the connection inside a savepoint of a transaction and returns
its result once the transaction is on disk (WAL, synchronous FULL). Work that fails is rolled back alone. Full or broken
disks are "disk_full" or "database_unavailable"; nothing is half done. `later(work)` is for what may be lost in a crash: it
is done in the next transaction, before anything else of it, or at the end.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from stead.protocol.errors import SteadError

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
_Job = tuple[Work, "Future[Any]"]

BATCH = 256
BUSY_SECONDS = 10.0


class Ledger:
    """The file and its thread."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._later: deque[Work] = deque()
        self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)
        self._opened: Future[None] = Future()
        self._closed = False

    async def open(self) -> None:
        """Opens or makes the file."""
        self._thread.start()
        await asyncio.wrap_future(self._opened)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does the work and returns when it is durable."""
        if self._closed:
            raise SteadError("unavailable", "the journal is closed")
        future: Future[T] = Future()
        self._jobs.put((work, future))
        return await asyncio.wrap_future(future)

    def later(self, work: Work) -> None:
        """To be done with what comes next."""
        self._later.append(work)

    async def close(self) -> None:
        """Finishes what is queued and what was put off."""
        if self._closed:
            return
        self._closed = True
        if self._later:
            self._jobs.put((_nothing, Future()))
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        try:
            connection = _connect(self._path, self._schema)
        except (sqlite3.Error, OSError) as error:
            self._opened.set_exception(_translated(error))
            return
        self._opened.set_result(None)
        try:
            while (job := self._jobs.get()) is not None:
                if not self._commit(connection, self._gather(job)):
                    break
        finally:
            connection.close()

    def _gather(self, first: _Job) -> list[_Job | None]:
        jobs: list[_Job | None] = [first]
        while jobs[-1] is not None and len(jobs) < BATCH:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job | None]) -> bool:
        """One transaction for all; False when the end of the queue was among them."""
        done: list[tuple[Future[Any], Any]] = []
        live = [job for job in jobs if job is not None and job[1].set_running_or_notify_cancel()]
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._catch_up(connection)
            for work, future in live:
                try:
                    done.append((future, _in_savepoint(connection, work)))
                except sqlite3.OperationalError:
                    raise
                except Exception as error:  # noqa: BLE001 (whoever waits for it gets it)
                    future.set_exception(error)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            for _, future in live:
                if not future.done():
                    future.set_exception(_translated(error))
        else:
            for future, result in done:
                future.set_result(result)
        return None not in jobs

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        while self._later:
            try:
                _in_savepoint(connection, self._later.popleft())
            except sqlite3.IntegrityError as error:
                log.warning("what was put off could not be written: %s", error)


def _nothing(connection: sqlite3.Connection) -> None:
    """For the sake of what was put off."""


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
    path.chmod(0o600)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.executescript(schema)
    return connection


def _in_savepoint(connection: sqlite3.Connection, work: Work) -> Any:
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except sqlite3.OperationalError:
        raise
    except Exception:
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        raise
    connection.execute("RELEASE work")
    return result


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _translated(error: Exception) -> SteadError:
    text = str(error)
    code = "disk_full" if "full" in text else "database_unavailable"
    return SteadError(code, f"the node's journal: {text}")
