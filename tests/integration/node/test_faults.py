"""Ten thousand commands, doubled, late, out of order, on a node that crashes: each has one effect and one end."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from integration.node.control import new_id, spec
from stead.drivers.observer import Nobody
from stead.drivers.scripted.driver import ScriptedDriver
from stead.model.ids import Kind
from stead.node.books import Books
from stead.node.journal import Journal
from stead.node.operations import Operations
from stead.node.outbox import Outbox
from stead.node.settings import NodeSettings
from stead.node.supervisor import Supervisor
from stead.protocol.errors import SteadError
from stead.protocol.messages import Command, CommandResult, Message, Request

pytestmark = pytest.mark.anyio

WORKSPACES = 500
COMMANDS = 20
CRASHES = 12
SETTINGS = NodeSettings(url="http://127.0.0.1:1", at_once=64)


class NoGuests:
    async def let_go(self, workspace_id: str) -> None:
        return

    def forgive(self, workspace_id: str) -> None:
        return

    async def run(self, *_: object) -> None:
        return


class Life:
    """One life of the node, from its start to its crash."""

    def __init__(self, folder: Path, effects: Counter[tuple[str, str]], heard: Any) -> None:
        self.journal = Journal(folder / "journal.sqlite")
        driver = ScriptedDriver(folder)
        driver.effects = effects
        self.books = Books(self.journal, {"scripted": driver})
        self.outbox = Outbox(self.journal)
        operations = Operations(self.books, NoGuests(), NoGuests(), SETTINGS, Nobody())
        self.supervisor = Supervisor(
            self.journal,
            self.books,
            operations,
            tell=self._tell,
            ended=self.outbox.add,
            at_once=64,
            observer=Nobody(),
        )
        self._heard = heard

    async def _tell(self, message: Message) -> None:
        return

    async def start(self, group: TaskGroup) -> None:
        await self.journal.open()
        await self.books.open()
        await self.outbox.open()
        await group.start(self.supervisor.run)
        group.start_soon(self.outbox.run, self._heard)


@asynccontextmanager
async def life(folder: Path, effects: Counter[tuple[str, str]], heard: Any) -> AsyncIterator[Life]:
    """Ends in a crash: whatever runs is cut off where it is."""
    this = Life(folder, effects, heard)
    async with anyio.create_task_group() as group:
        await this.start(group)
        yield this
        group.cancel_scope.cancel()
    await this.journal.close()


class Chaos:
    """The control plane: knows what it ordered and what it heard, and delivers badly."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ends: dict[str, set[str]] = {}
        self.waiting: dict[str, anyio.Event] = {}
        self.goal = (0, anyio.Event())
        self.orders = [self._orders(spec(driver="scripted").workspace_id) for _ in range(WORKSPACES)]
        self.all = {command.command_id: command for orders in self.orders for command in orders}

    def _orders(self, workspace_id: str) -> list[Command]:
        kinds = ["start", "stop"] * (COMMANDS // 2 - 1) + ["start", "delete"]
        return [
            Command(
                request_id="",
                command_id=new_id(Kind.COMMAND),
                workspace_id=workspace_id,
                sequence=number,
                kind=kind,  # type: ignore[arg-type]
                spec=spec(workspace_id, "scripted", generation=1 + number // 2),
                deadline=9e9,
            )
            for number, kind in enumerate(kinds)
        ]

    async def heard(self, message: Request, timeout: float) -> None:
        """A result arrives, sometimes twice because its acknowledgement was lost."""
        assert isinstance(message, CommandResult)
        code = message.error.code if message.error else ""
        self.ends.setdefault(message.command_id, set()).add(f"{message.outcome} {code}".strip())
        if message.command_id in self.waiting:
            self.waiting.pop(message.command_id).set()
        if len(self.ends) >= self.goal[0]:
            self.goal[1].set()

    async def deliver(self, supervisor: Supervisor, command: Command) -> None:
        """Once, twice or thrice, sometimes late, sometimes after one that came long before."""
        copies = self.random.choice([1, 1, 2, 3])
        async with anyio.create_task_group() as group:
            for _ in range(copies):
                group.start_soon(supervisor.accept, command)
            if self.random.random() < 0.3:
                old = self.random.choice(list(self.ends) or [command.command_id])
                group.start_soon(supervisor.accept, self.all[old])

    async def drive(self, supervisor: Supervisor, orders: list[Command]) -> None:
        """One workspace: in order, as a dispatcher does, or two at once in the wrong order."""
        waiting = [command for command in orders if command.command_id not in self.ends]
        while waiting:
            pair = waiting[:2] if self.random.random() < 0.1 else waiting[:1]
            for command in reversed(pair):
                await self.deliver(supervisor, command)
            for command in pair:
                if command.command_id not in self.ends:
                    await self.waiting.setdefault(command.command_id, anyio.Event()).wait()
            waiting = waiting[len(pair) :]

    async def drive_all(self, supervisor: Supervisor) -> None:
        async with anyio.create_task_group() as group:
            for orders in self.orders:
                group.start_soon(self._drive_until_down, supervisor, orders)

    async def _drive_until_down(self, supervisor: Supervisor, orders: list[Command]) -> None:
        try:
            await self.drive(supervisor, orders)
        except* SteadError as errors:
            assert all(error.code == "unavailable" for error in leaves(errors))

    async def until(self, ends: int) -> None:
        self.goal = (ends, anyio.Event())
        if len(self.ends) < ends:
            await self.goal[1].wait()


def leaves(errors: BaseExceptionGroup[SteadError]) -> list[SteadError]:
    found: list[SteadError] = []
    for error in errors.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


@pytest.mark.timeout(300)
async def test_each_command_has_one_effect_and_one_end(tmp_path: Path) -> None:
    chaos = Chaos(seed=11)
    effects: Counter[tuple[str, str]] = Counter()
    total = WORKSPACES * COMMANDS
    assert len(chaos.all) == total == 10_000
    for number in range(1, CRASHES + 1):
        async with life(tmp_path, effects, chaos.heard) as node, anyio.create_task_group() as group:
            group.start_soon(chaos.drive_all, node.supervisor)
            await chaos.until(total * number // (CRASHES + 1))
            group.cancel_scope.cancel()
    async with life(tmp_path, effects, chaos.heard) as node:
        await chaos.drive_all(node.supervisor)
    assert set(chaos.ends) == set(chaos.all)
    assert all(len(ends) == 1 for ends in chaos.ends.values())
    outcomes = Counter(next(iter(ends)) for ends in chaos.ends.values())
    assert set(outcomes) == {"completed", "failed conflict"}
    assert outcomes["failed conflict"] < total // 10
    for command in chaos.all.values():
        if command.kind == "start":
            expected = 1 if chaos.ends[command.command_id] == {"completed"} else 0
            assert effects["start", command.command_id] == expected
    last = Books(node.journal, {"scripted": ScriptedDriver(tmp_path)})
    journal = Journal(tmp_path / "journal.sqlite")
    await journal.open()
    left = {record.workspace_id for record in await journal.records()}
    await journal.close()
    undeleted = {
        orders[-1].workspace_id for orders in chaos.orders if chaos.ends[orders[-1].command_id] != {"completed"}
    }
    assert left == undeleted
    assert {thing.workspace_id for _, thing in await last.orphans()} == undeleted
