"""PostgreSQL when it restarts, crashes and is gone for a while."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from stead.control.store.schema import settings
from stead.control.store.store import Store, open_store
from stead.protocol.errors import SteadError
from support.postgres import Postgres

pytestmark = [pytest.mark.anyio, pytest.mark.needs_engine("postgres")]


def put(conn: Connection, name: str) -> str:
    conn.execute(settings.insert().values(name=name, value=""))
    return name


def names(conn: Connection) -> set[str]:
    return set(conn.execute(select(settings.c.name)).scalars())


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A server of our own, so that its restarts hurt nobody."""
    server = Postgres()
    try:
        server.create()
        yield server
    finally:
        server.close()


@pytest.fixture
async def store(own_server: Postgres, tmp_path: Path) -> AsyncIterator[Store]:
    made = await open_store(own_server.url(own_server.new_database()), tmp_path)
    yield made
    await made.close()


async def test_a_restart_is_survived(store: Store, own_server: Postgres) -> None:
    await store.write(put, "before")
    await asyncio.to_thread(own_server.restart)
    assert await store.read(names) == {"before"}
    await store.write(put, "after")
    assert await store.read(names) == {"before", "after"}


async def test_a_server_that_is_gone_is_told_and_used_again_when_it_is_back(store: Store, own_server: Postgres) -> None:
    await store.write(put, "before")
    await asyncio.to_thread(own_server.stop, signal.SIGKILL)
    for asked in (store.read(names), store.write(put, "meanwhile")):
        with pytest.raises(SteadError) as caught:
            await asked
        assert caught.value.code == "database_unavailable"
    await asyncio.to_thread(own_server.start)
    await store.write(put, "after")
    assert await store.read(names) == {"before", "after"}


async def test_what_was_acknowledged_under_load_survives_a_crash(store: Store, own_server: Postgres) -> None:
    kept: set[str] = set()
    refused = 0

    async def writer(number: int) -> None:
        nonlocal refused
        for turn in range(40):
            try:
                kept.add(await store.write(put, f"{number}-{turn}"))
            except SteadError as error:
                if error.code != "database_unavailable":
                    raise
                refused += 1

    async def crash() -> None:
        while len(kept) < 50:
            await asyncio.sleep(0)
        await asyncio.to_thread(own_server.restart)

    await asyncio.gather(crash(), *[writer(number) for number in range(8)])
    found = await store.read(names)
    assert kept <= found
    assert len(found - kept) <= refused
