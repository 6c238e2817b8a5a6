"""The journal: known ids are answered, ends are kept, order is kept, full disks lose nothing."""

import os
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.model import ids
from stead.node.journal import CLOCK_SECONDS, Journal, Outcome, Record
from stead.node.ledger import Ledger
from stead.protocol.errors import SteadError
from stead.protocol.messages import Command, WorkspaceSpec

pytestmark = pytest.mark.anyio

DONE = Outcome(outcome="completed")


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    await journal.open()
    yield journal
    await journal.close()


def command(sequence: int = 1, workspace_id: str = "", **more: Any) -> Command:
    name = workspace_id or ids.make(ids.Kind.WORKSPACE, 1.0, os.urandom(10))
    return Command(
        request_id="",
        command_id=ids.make(ids.Kind.COMMAND, 1.0, os.urandom(10)),
        workspace_id=name,
        sequence=sequence,
        kind=more.get("kind", "start"),
        spec=WorkspaceSpec(workspace_id=name, name="box", generation=1, driver="scripted"),
        deadline=9e9,
    )


def record(of: Command) -> Record:
    return Record(workspace_id=of.workspace_id, generation=1, driver="scripted", spec=of.spec)


async def test_a_command_goes_from_taken_to_reported_once(journal: Journal) -> None:
    order = command()
    assert (await journal.take(order, 1.0)).phase == "taken"
    assert (await journal.take(order, 2.0)).phase == "taken"
    assert await journal.begin(order, 3.0) is None
    assert await journal.begin(order, 3.0) is None
    assert [entry.phase for entry in await journal.unfinished()] == ["begun"]
    await journal.finish(order, DONE, record(order), 4.0)
    assert await journal.begin(order, 5.0) == DONE
    with pytest.raises(SteadError) as caught:
        await journal.finish(order, DONE, record(order), 5.0)
    assert caught.value.code == "conflict"
    assert [entry.outcome for entry in await journal.unreported()] == [DONE]
    assert [kept.workspace_id for kept in await journal.records()] == [order.workspace_id]
    journal.reported(order.command_id)
    assert await journal.unreported() == []
    assert (await journal.take(order, 6.0)).outcome == DONE
    assert [entry.outcome for entry in await journal.unreported()] == [DONE]


async def test_a_command_that_nothing_is_in_the_way_of_begins_as_it_is_taken(journal: Journal) -> None:
    order, early = command(2, "ws"), command(1, "ws")
    assert (await journal.take(order, 1.0, begins=True)).phase == "begun"
    assert [entry.phase for entry in await journal.unfinished()] == ["begun"]
    cancelled = await journal.cancel(order.command_id, 2.0)
    assert cancelled is not None
    assert cancelled.outcome is None
    overtaken = await journal.take(early, 2.0, begins=True)
    assert overtaken.outcome is not None
    assert overtaken.outcome.error is not None
    assert overtaken.outcome.error.code == "conflict"


async def test_what_was_reported_last_is_kept_when_the_node_goes_down(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal.sqlite")
    await first.open()
    order = command()
    await first.take(order, 1.0)
    await first.finish(order, DONE, record(order), 2.0)
    first.reported(order.command_id)
    await first.close()
    again = Journal(tmp_path / "journal.sqlite")
    await again.open()
    assert await again.unreported() == []
    await again.close()


async def test_what_was_taken_survives_a_reopening(tmp_path: Path) -> None:
    first = Journal(tmp_path / "journal.sqlite")
    await first.open()
    orders = [command(number) for number in range(5)]
    for number, order in enumerate(orders):
        await first.take(order, float(number))
    assert await first.next_epoch() == 1
    await first.close()
    second = Journal(tmp_path / "journal.sqlite")
    await second.open()
    assert [entry.command for entry in await second.unfinished()] == orders
    assert await second.next_epoch() == 2
    assert (tmp_path / "journal.sqlite").stat().st_mode & 0o777 == 0o600
    await second.close()
    with pytest.raises(SteadError) as caught:
        await second.records()
    assert caught.value.code == "unavailable"


async def test_a_later_command_overtakes(journal: Journal) -> None:
    early, late = command(1, "ws"), command(2, "ws")
    await journal.take(early, 1.0)
    await journal.take(late, 1.0)
    assert await journal.begin(late, 2.0) is None
    overtaken = await journal.begin(early, 3.0)
    assert overtaken is not None
    assert overtaken.error is not None
    assert overtaken.error.code == "conflict"
    older = await journal.take(command(0, "ws"), 4.0)
    assert older.outcome is not None
    assert (await journal.take(command(2, "ws"), 4.0)).phase == "taken"


async def test_cancelled_before_it_came_or_before_it_began(journal: Journal) -> None:
    unknown, waiting, begun = command(), command(), command()
    assert await journal.cancel(unknown.command_id, 1.0) is None
    assert (await journal.take(unknown, 2.0)).phase == "ended"
    await journal.take(waiting, 2.0)
    ended = await journal.cancel(waiting.command_id, 3.0)
    assert ended is not None
    assert ended.outcome is not None
    assert ended.outcome.error is not None
    assert ended.outcome.error.code == "cancelled"
    assert await journal.begin(waiting, 4.0) == ended.outcome
    await journal.take(begun, 2.0)
    await journal.begin(begun, 2.0)
    still = await journal.cancel(begun.command_id, 3.0)
    assert still is not None
    assert still.phase == "begun"


async def test_a_command_whose_deadline_passed_does_not_begin(journal: Journal) -> None:
    late, waiting, begun = command(), command(), command()
    after = late.deadline + CLOCK_SECONDS + 1
    assert (await journal.take(late, late.deadline + 1)).phase == "taken"
    too_late = await journal.begin(late, after)
    assert too_late is not None
    assert too_late.error is not None
    assert too_late.error.code == "expired"
    assert (await journal.take(waiting, after)).phase == "ended"
    await journal.take(begun, 1.0)
    assert await journal.begin(begun, 1.0) is None
    assert await journal.begin(begun, after) is None


async def test_pruning_keeps_what_was_not_reported(journal: Journal) -> None:
    old, unreported, new = command(), command(), command()
    for order, ended in ((old, 10.0), (unreported, 10.0), (new, 100.0)):
        await journal.take(order, 1.0)
        await journal.begin(order, 1.0)
        await journal.finish(order, DONE, None, ended)
    journal.reported(old.command_id)
    journal.reported(new.command_id)
    assert await journal.prune(50.0) == 1
    assert await journal.entry(old.command_id) is None
    assert await journal.entry(unreported.command_id) is not None
    assert await journal.entry(new.command_id) is not None


async def test_setup_steps_go_with_their_workspace(journal: Journal) -> None:
    order = command()
    await journal.take(order, 1.0)
    await journal.step_done(order.workspace_id, 0, "echo", 0.5)
    await journal.step_done(order.workspace_id, 0, "echo", 0.7)
    assert await journal.steps_done(order.workspace_id) == {0: "echo"}
    await journal.finish(order, DONE, None, 2.0)
    assert await journal.steps_done(order.workspace_id) == {}


async def test_many_at_once_share_commits(journal: Journal) -> None:
    orders = [command() for _ in range(500)]
    async with anyio.create_task_group() as group:
        for order in orders:
            group.start_soon(journal.take, order, 1.0)
    assert len(await journal.unfinished()) == 500


async def test_work_with_a_mistake_fails_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "x.sqlite", "CREATE TABLE t (n INTEGER PRIMARY KEY) STRICT;")
    await ledger.open()
    raised: list[str] = []

    async def attempt(work: Any) -> None:
        try:
            await ledger.run(work)
        except (ZeroDivisionError, sqlite3.IntegrityError) as error:
            raised.append(type(error).__name__)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(attempt, lambda c, n=number: c.execute("INSERT INTO t VALUES (?)", (n,)))
        group.start_soon(attempt, lambda c: c.execute("INSERT INTO t VALUES (99)") and 1 / 0)
        group.start_soon(attempt, lambda c: c.execute("INSERT INTO t VALUES (3)"))
    assert sorted(raised) == ["IntegrityError", "ZeroDivisionError"]
    found = await ledger.run(lambda c: [n for (n,) in c.execute("SELECT n FROM t ORDER BY n")])
    assert found == [0, 1, 2, 3, 4]
    await ledger.close()


async def test_a_locked_database_is_said_and_recovers(journal: Journal, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    order = command()
    async with anyio.create_task_group() as group:
        group.start_soon(journal.take, order, 1.0)
        await anyio.sleep(0.2)
        other.execute("COMMIT")
    other.close()
    assert await journal.entry(order.command_id) is not None


async def test_a_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    """A file size limit stands for the full disk: SQLite meets it in the same way."""
    journal = Journal(tmp_path / "journal.sqlite")
    await journal.open()
    kept = command()
    await journal.take(kept, 1.0)
    used = (tmp_path / "journal.sqlite-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (used + 4096, hard))
    try:
        with pytest.raises(SteadError) as caught:
            for _ in range(50):
                await journal.take(command(), 2.0)
        assert caught.value.code in {"disk_full", "database_unavailable"}
        assert caught.value.retry
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = command()
    await journal.take(after, 3.0)
    found = {entry.command.command_id for entry in await journal.unfinished()}
    assert {kept.command_id, after.command_id} <= found
    await journal.close()
