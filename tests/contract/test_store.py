"""What both databases promise: the same tests on SQLite and on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.exc import IntegrityError

from stead.control.people.caller import SYSTEM, Caller
from stead.control.store import events, later, nodes, workspaces
from stead.control.store.filters import has_labels
from stead.control.store.migrate import HEAD, revision
from stead.control.store.prepared import Prepared
from stead.control.store.schema import metadata, settings, tokens
from stead.control.store.schema import nodes as node_table
from stead.control.store.store import Store, open_store
from stead.protocol.errors import SteadError

pytestmark = pytest.mark.anyio

MEMBER = Caller(user_id="us_1", name="m", role="member", scopes=frozenset({"*"}), via="token")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.needs_engine("postgres"))])
def url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(url: str, tmp_path: Path) -> AsyncIterator[Store]:
    made = await open_store(url, tmp_path)
    yield made
    await made.close()


def put(conn: Connection, name: str, value: str = "1") -> str:
    conn.execute(settings.insert().values(name=name, value=value))
    return name


def names(conn: Connection) -> set[str]:
    return set(conn.execute(select(settings.c.name)).scalars())


async def test_a_new_database_has_exactly_the_schema(store: Store) -> None:
    def differences(conn: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(conn), metadata))

    assert await store.read(revision) == HEAD
    assert await store.read(differences) == []


async def test_opening_again_keeps_everything(url: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        store = await open_store(url, tmp_path)
        await store.write(put, name)
        await store.close()
    store = await open_store(url, tmp_path)
    assert await store.read(names) == {"a", "b"}
    await store.close()


async def test_a_unit_that_fails_does_not_hurt_its_neighbours(store: Store) -> None:
    def half(conn: Connection, name: str) -> None:
        put(conn, name)
        raise SteadError("conflict", "no")

    def twice(conn: Connection, name: str) -> None:
        put(conn, name)
        put(conn, name)

    async def attempt(number: int) -> str:
        if number % 3 == 0:
            return await store.write(put, f"good-{number}")
        with pytest.raises((SteadError, Exception)):
            await store.write(half if number % 3 == 1 else twice, f"bad-{number}")
        return ""

    done = await asyncio.gather(*[attempt(number) for number in range(60)])
    assert await store.read(names) == {name for name in done if name}


async def test_what_an_undone_unit_put_off_is_undone_too(store: Store) -> None:
    def told(conn: Connection, number: int) -> None:
        events.append(conn, "k", f"s{number}", "", {"n": number})
        put(conn, f"n{number}")
        if number % 2:
            raise SteadError("conflict", "no")

    async def attempt(number: int) -> None:
        try:
            await store.write(told, number)
        except SteadError as error:
            assert error.code == "conflict"

    await asyncio.gather(*[attempt(number) for number in range(30)])
    page = await store.read(events.page, SYSTEM, "", "", 100)
    assert [event.data["n"] for event in page.items] == list(range(0, 30, 2))
    assert await store.read(names) == {f"n{number}" for number in range(0, 30, 2)}


SET = Prepared(settings.update().where(settings.c.name == bindparam("wanted")).values(value=bindparam("new")))
ADD = Prepared(settings.insert().inline(), ("name", "value"))
GET = Prepared(select(settings).where(settings.c.name == bindparam("wanted")), only="wanted")
GET_BY_ANY = Prepared(select(settings).where(settings.c.name == bindparam("wanted")))
READERS = [
    lambda conn, name: GET.first(conn, {"wanted": name}).value,
    lambda conn, name: GET_BY_ANY.first(conn, {"wanted": name}).value,
    lambda conn, name: conn.execute(select(settings.c.value).where(settings.c.name == name)).scalar(),
    lambda conn, name: next(row.value for row in conn.execute(select(settings)) if row.name == name),
]


async def test_a_change_that_was_put_off_is_seen_by_whoever_reads_its_row(store: Store) -> None:
    def add_one(conn: Connection, name: str, turn: int) -> None:
        value = READERS[turn % len(READERS)](conn, name)
        later.change(conn, SET, {"wanted": name, "new": str(int(value) + 1)}, name)

    for name in "abc":
        await store.write(put, name, "0")
    await asyncio.gather(*[store.write(add_one, "abc"[turn % 3], turn) for turn in range(240)])
    assert [await store.read(READERS[2], name) for name in "abc"] == ["80"] * 3


async def test_a_change_that_cannot_be_made_fails_its_own_unit_only(store: Store) -> None:
    def add(conn: Connection, name: str) -> str:
        later.change(conn, ADD, {"name": name, "value": ""}, name)
        return name

    async def attempt(number: int) -> str:
        try:
            return await store.write(add, f"n{number}" if number % 5 else "there")
        except IntegrityError:
            return ""

    await store.write(put, "there")
    done = await asyncio.gather(*[attempt(number) for number in range(40)])
    assert [bool(name) for name in done] == [bool(number % 5) for number in range(40)]
    assert await store.read(names) == {"there", *filter(None, done)}


async def test_prepared_statements_keep_types_and_tell_errors_as_others_do(store: Store) -> None:
    columns = [column.name for column in tokens.c]
    insert, find = (
        Prepared(tokens.insert().inline()),
        Prepared(select(tokens).where(tokens.c.id == bindparam("wanted"))),
    )
    rows = [
        dict.fromkeys(columns)
        | {"id": f"tk_{number}", "user_id": "us_1", "name": "x", "scopes": ["read", number], "hash": f"h{number}"}
        | {"kind": "api", "created": 1.5, "expires": 2}
        for number in range(3)
    ]

    def fill(conn: Connection) -> None:
        insert.many(conn, rows[:2])
        assert insert.run(conn, rows[2]) == 1

    await store.write(fill)
    found = await store.read(find.first, {"wanted": "tk_1"})
    assert vars(found) == rows[1] | {"expires": 2.0}
    assert isinstance(found.expires, float)
    assert await store.read(find.first, {"wanted": "none"}) is None
    assert [row.id for row in await store.read(Prepared(select(tokens).order_by(tokens.c.id)).all, {})] == [
        "tk_0",
        "tk_1",
        "tk_2",
    ]
    with pytest.raises(IntegrityError):
        await store.write(insert.run, rows[0])
    with pytest.raises(SteadError) as caught:
        await store.write(insert.run, rows[0] | {"id": "tk_9", "hash": "\ud800"})
    assert caught.value.code == "invalid"


async def test_what_a_write_answers_can_be_read_at_once(store: Store) -> None:
    for number in range(20):
        name = await store.write(put, f"n{number}")
        assert name in await store.read(names)


async def test_writers_take_turns(store: Store) -> None:
    def count(conn: Connection) -> None:
        value = conn.execute(select(settings.c.value).where(settings.c.name == "count")).scalar()
        conn.execute(settings.update().where(settings.c.name == "count").values(value=str(int(value or 0) + 1)))

    await store.write(put, "count", "0")
    await asyncio.gather(*[store.write(count) for _ in range(200)])
    assert await store.read(lambda conn: conn.execute(select(settings.c.value)).scalar()) == "200"


async def test_a_waiter_that_goes_away_does_not_undo_the_unit(store: Store) -> None:
    task = asyncio.create_task(store.write(put, "kept"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.write(put, "next")
    assert await store.read(names) == {"kept", "next"}


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()
    for asked in (store.read(names), store.write(put, "x")):
        with pytest.raises(SteadError, match="closed"):
            await asked


async def test_closing_finishes_what_was_asked(url: str, tmp_path: Path) -> None:
    store = await open_store(url, tmp_path)
    tasks = [asyncio.create_task(store.write(put, f"n{number}")) for number in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    store = await open_store(url, tmp_path)
    assert len(await store.read(names)) == 50
    await store.close()


async def test_events_come_in_order_and_wake_watchers(store: Store) -> None:
    mark = store.hints.mark()
    await asyncio.gather(
        *[store.write(events.append, "k", f"s{n}", "us_1" if n % 2 else "", {"n": n}) for n in range(40)]
    )
    with anyio.fail_after(30):
        await mark.wait()
    everything = await store.read(events.page, SYSTEM, "", "", 500)
    cursors = [int(event.cursor) for event in everything.items]
    assert cursors == sorted(cursors)
    assert len(cursors) == 40
    assert everything.next == everything.items[-1].cursor == await store.read(events.latest)
    mine = await store.read(events.page, MEMBER, "", "", 500)
    assert {event.data["n"] % 2 for event in mine.items} == {1}
    part = await store.read(events.page, SYSTEM, "", everything.items[9].cursor, 5)
    assert part.items == everything.items[10:15]
    one = await store.read(events.page, SYSTEM, "s7", "", 5)
    assert [event.data for event in one.items] == [{"n": 7}]
    with pytest.raises(SteadError, match="cursor"):
        await store.read(events.page, SYSTEM, "", "x", 5)


async def test_numbers_of_events_are_never_used_again(store: Store) -> None:
    for number in range(5):
        await store.write(events.append, "k", "s", "", {"n": number})
    last = int(await store.read(events.latest))
    assert await store.write(events.forget, 1e12, 100) == 4
    await store.write(events.append, "k", "s", "", {})
    assert int(await store.read(events.latest)) > last


async def test_labels_match_whole_pairs_only(store: Store) -> None:
    def ask(conn: Connection, labels: dict[str, str]) -> list[str]:
        query = select(node_table.c.name).where(*has_labels(conn, node_table.c.labels, labels))
        return list(conn.execute(query.order_by(node_table.c.name)).scalars())

    await store.write(nodes.insert, node("a", {"gpu": "yes", "zone": "a%b_c"}))
    await store.write(nodes.insert, node("b", {"xgpu": "yes", "zone": "A%b_c", "v": '"gpu":"yes"'}))
    assert await store.read(ask, {"gpu": "yes"}) == ["a"]
    assert await store.read(ask, {"zone": "a%b_c"}) == ["a"]
    assert await store.read(ask, {"v": '"gpu":"yes"'}) == ["b"]
    assert await store.read(ask, {"zone": "a%"}) == []


async def test_text_that_cannot_be_stored_is_invalid(store: Store) -> None:
    for odd in ("\ud800", *(["a\0b"] if store.dialect == "postgresql" else [])):
        with pytest.raises(SteadError) as caught:
            await store.write(put, odd)
        assert caught.value.code == "invalid"
    for odd in ("\ud800", "a\0b", "%", "x" * 10_000):
        with pytest.raises(SteadError, match="no such workspace"):
            await store.read(workspaces.resolve, SYSTEM, odd)
        with pytest.raises(SteadError, match="no such node"):
            await store.read(nodes.resolve, odd)


async def test_json_times_and_null_come_back_as_they_were(store: Store) -> None:
    await store.write(nodes.insert, node("ü", {"k": "日本 'x' \"y\""}))
    row = await store.read(nodes.resolve, "ü")
    assert row.labels == {"k": "日本 'x' \"y\""}
    assert (row.facts, row.drivers, row.created, row.approved) == (None, [], 1_795_905_111.2629707, True)


async def test_a_database_of_a_newer_program_stays_untouched(url: str, tmp_path: Path) -> None:
    store = await open_store(url, tmp_path)
    await store.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await store.close()
    with pytest.raises(SteadError, match="newer") as caught:
        await open_store(url, tmp_path)
    assert caught.value.code == "version_unsupported"


def node(name: str, labels: dict[str, str]) -> dict[str, object]:
    return {
        "id": f"nd_{name}",
        "name": name,
        "public_key": "k",
        "approved": True,
        "draining": False,
        "labels": labels,
        "max_workspaces": None,
        "said_labels": {},
        "said_max": 0,
        "facts": None,
        "drivers": [],
        "software": "",
        "protocol": "",
        "boot_id": "",
        "epoch": 0,
        "health": None,
        "last_seen": None,
        "created": 1_795_905_111.2629707,
        "version": 1,
    }
