"""What every part of the control plane asks of the database.

Contract: `open_store(url, folder) -> Store` opens and migrates (an empty url is SQLite in the folder);
`await store.read(fn, *args)` and `await store.write(fn, *args)` run `fn(connection, *args)` and answer its result. A
write is one unit: all of it or nothing, durable before the await ends, alone in its effect where many share a commit.
It may run twice before its commit, so it does nothing but read and write the database.
`SteadError` raised by a unit undoes it and comes out as it is; a database that does not answer is
"database_unavailable" or "disk_full" and is used again as soon as it answers.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from stead.control.store.backup import PRIVATE, backup_before
from stead.control.store.events import Hints
from stead.control.store.faults import translate
from stead.control.store.migrate import FOLDER, HEAD, migrate, revision
from stead.protocol.errors import SteadError

P = ParamSpec("P")
T = TypeVar("T")

FILE = "stead.sqlite"


class Store(Protocol):
    """The database of record."""

    dialect: str
    hints: Hints

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a reading function on a pooled connection."""

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs one writing unit; it is durable when this returns."""

    async def close(self) -> None:
        """Finishes the units in hand and lets go."""


async def open_store(url: str, folder: Path, scripts: Path = FOLDER, head: str = HEAD) -> Store:
    """The store of this address, migrated to this version."""
    if not url:
        return await _open_sqlite(folder / FILE, scripts, head)
    if url.startswith("postgresql://"):
        return await _open_postgres(url, scripts, head)
    raise SteadError("invalid", "database_url: must start with postgresql://, or be empty for SQLite")


async def _open_sqlite(file: Path, scripts: Path, head: str) -> Store:
    from stead.control.store.sqlite import SqliteStore

    await asyncio.to_thread(_prepare_sqlite, file, scripts, head)
    return SqliteStore(file)


def _prepare_sqlite(file: Path, scripts: Path, head: str) -> None:
    from stead.control.store.sqlite import engine

    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, PRIVATE))
        with engine(file, "BEGIN IMMEDIATE").connect() as conn:
            with conn.begin():
                found = revision(conn)
            if found and found != head:
                backup_before(file, found, time.time())
            with conn.begin():
                migrate(conn, scripts, head)
    except Exception as error:
        raise translate(error) from error


async def _open_postgres(url: str, scripts: Path, head: str) -> Store:
    from stead.control.store.postgres import TURN, PostgresStore, engine

    def prepare(conn: Connection) -> None:
        with conn.begin():
            conn.execute(TURN)
            migrate(conn, scripts, head)

    made = engine(url)
    try:
        async with made.connect() as conn:
            await conn.run_sync(prepare)
    except Exception as error:
        raise translate(error) from error
    finally:
        await made.dispose()
    return PostgresStore(url)
