"""Ends are reported until they are heard, over as many links as it takes."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.node.journal import Journal, Outcome
from stead.node.outbox import Outbox
from stead.protocol.errors import SteadError
from stead.protocol.messages import CommandResult, Request
from support.deadline import PATIENCE
from unit.node.test_journal import command

pytestmark = pytest.mark.anyio
DONE = Outcome(outcome="completed")


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    await journal.open()
    yield journal
    await journal.close()


class Ear:
    """Fails as often as told, then hears."""

    def __init__(self, *faults: str) -> None:
        self.faults = list(faults)
        self.asked: Counter[str] = Counter()

    async def __call__(self, message: Request, timeout: float) -> Any:
        assert isinstance(message, CommandResult)
        self.asked[message.command_id] += 1
        if self.faults:
            raise SteadError(self.faults.pop(0), "told to fail")


async def ended(journal: Journal, outbox: Outbox) -> str:
    order = command()
    await journal.take(order, 1.0)
    await journal.begin(order, 1.0)
    await journal.finish(order, DONE, None, 2.0)
    outbox.add(order, DONE)
    return order.command_id


async def until_empty(outbox: Outbox, ear: Ear) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, ear)
        assert await outbox.empty(PATIENCE)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("fault", ["unavailable", "database_unavailable", "timeout"])
async def test_a_failure_is_tried_again(journal: Journal, fault: str) -> None:
    outbox, ear = Outbox(journal), Ear(fault)
    name = await ended(journal, outbox)
    await until_empty(outbox, ear)
    assert ear.asked[name] == 2
    assert await journal.unreported() == []


async def test_a_refusal_counts_as_heard(journal: Journal) -> None:
    outbox, ear = Outbox(journal), Ear("not_found")
    name = await ended(journal, outbox)
    await until_empty(outbox, ear)
    assert ear.asked[name] == 1


async def test_what_an_earlier_life_left_is_reported(journal: Journal) -> None:
    name = await ended(journal, Outbox(journal))
    outbox, ear = Outbox(journal), Ear()
    await outbox.open()
    assert len(outbox) == 1
    await until_empty(outbox, ear)
    assert ear.asked[name] == 1


async def test_what_a_lost_link_did_not_carry_goes_over_the_next(journal: Journal) -> None:
    outbox = Outbox(journal)
    name = await ended(journal, outbox)
    asked = anyio.Event()

    async def never(message: Request, timeout: float) -> Any:
        asked.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, never)
        await asked.wait()
        group.cancel_scope.cancel()
    ear = Ear()
    await until_empty(outbox, ear)
    assert ear.asked[name] == 1
