"""SQLite when things go wrong: locked, read-only, full, gone, damaged."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from stead.control.store.schema import settings
from stead.control.store.sqlite import SLOW, SqliteStore
from stead.control.store.store import FILE, open_store
from stead.control.store.units import long, quick
from stead.protocol.errors import SteadError
from support.disk import Disk, small_disk

pytestmark = pytest.mark.anyio


def put(conn: Connection, name: str, value: str = "1") -> None:
    conn.execute(settings.insert().values(name=name, value=value))


def names(conn: Connection) -> set[str]:
    return set(conn.execute(select(settings.c.name)).scalars())


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store that waits only shortly for locks."""
    await (await open_store("", tmp_path)).close()
    store = SqliteStore(tmp_path / FILE, busy=0.2)
    yield store
    await store.close()


async def refused(store: SqliteStore, name: str, code: str) -> None:
    with pytest.raises(SteadError) as caught:
        await store.write(put, name, "x" * 100_000)
    assert caught.value.code == code, caught.value


async def test_every_connection_has_our_settings(impatient: SqliteStore) -> None:
    def pragmas(conn: Connection) -> list[object]:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]

    assert await impatient.read(pragmas) == ["wal", 2, 1]
    assert await impatient.write(pragmas) == ["wal", 2, 1]


async def test_many_units_share_few_commits(impatient: SqliteStore) -> None:
    with closing(sqlite3.connect(impatient.file)) as watcher:
        before = watcher.execute("PRAGMA data_version").fetchone()
        await asyncio.gather(*[impatient.write(put, f"n{number}") for number in range(1000)])
        assert len(await impatient.read(names)) == 1000
        assert watcher.execute("PRAGMA data_version").fetchone() != before


def here(conn: Connection) -> int:
    return threading.get_ident()


def slowly(conn: Connection) -> None:
    time.sleep(SLOW * 2)


@long
def long_here(conn: Connection) -> int:
    return threading.get_ident()


@quick
def quick_here(conn: Connection) -> int:
    return threading.get_ident()


async def test_what_may_take_long_does_not_hold_up_the_event_loop(impatient: SqliteStore) -> None:
    loop = threading.get_ident()
    assert await impatient.write(here) == loop
    assert await impatient.write(long_here) != loop
    assert await impatient.read(here) != loop
    await impatient.read(quick_here)
    assert await impatient.read(quick_here) == loop


async def test_after_a_slow_unit_the_next_ones_have_the_thread(impatient: SqliteStore) -> None:
    loop = threading.get_ident()
    for _ in range(20):
        await impatient.write(slowly)
        if await impatient.write(here) != loop:
            return
    pytest.fail("no unit had the thread, however soon it came after a slow one")


async def test_a_lock_held_by_another_program_is_told_and_gets_over(impatient: SqliteStore) -> None:
    with closing(sqlite3.connect(impatient.file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await refused(impatient, "early", "database_unavailable")
        assert await impatient.read(names) == set()
        other.execute("ROLLBACK")
    await impatient.write(put, "late")
    assert await impatient.read(names) == {"late"}


async def test_a_file_that_is_gone_is_told_and_used_again_when_it_is_back(impatient: SqliteStore) -> None:
    await impatient.write(put, "before")
    aside = impatient.file.with_name("aside")
    impatient.file.rename(aside)
    await refused(impatient, "meanwhile", "database_unavailable")
    with pytest.raises(SteadError, match="gone"):
        await impatient.read(names)
    assert not impatient.file.exists()
    aside.rename(impatient.file)
    await impatient.write(put, "after")
    assert await impatient.read(names) == {"before", "after"}


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is not a database, but long enough to be taken for one" * 100)
    with pytest.raises(SteadError, match="not a database") as caught:
        await open_store("", tmp_path)
    assert caught.value.code == "database_unavailable"


async def test_the_file_is_private(impatient: SqliteStore) -> None:
    assert impatient.file.stat().st_mode & 0o077 == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", 2 << 20) as found:
        yield found


async def test_a_full_disk_is_told_and_gets_over(disk: Disk) -> None:
    store = await open_store("", disk.path)
    assert isinstance(store, SqliteStore)
    await store.write(put, "before")
    disk.fill()
    for number in range(5):
        await refused(store, f"full-{number}", "disk_full")
    assert await store.read(names) == {"before"}
    disk.free()
    await store.write(put, "after")
    assert await store.read(names) == {"before", "after"}
    await store.close()
    with closing(sqlite3.connect(disk.path / FILE)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_read_only_disk_is_told_and_gets_over(disk: Disk) -> None:
    store = await open_store("", disk.path)
    await store.write(put, "before")
    await store.close()
    disk.read_only()
    with pytest.raises(SteadError) as caught:
        await open_store("", disk.path)
    assert caught.value.code == "database_unavailable"
    running = SqliteStore(disk.path / FILE, busy=0.2)
    await refused(running, "meanwhile", "database_unavailable")
    disk.read_only(False)
    await running.write(put, "after")
    assert await running.read(names) == {"before", "after"}
    await running.close()
