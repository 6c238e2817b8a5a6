"""Delivery of commands to a node in memory: at least once each, one effect each, in order within a workspace."""

import asyncio
import contextlib
import random
import time
from collections import defaultdict

import anyio
import msgspec
import pytest

from stead.api.types import Command as CommandAnswer
from stead.api.types import WorkspaceCreate
from stead.control.commands import results
from stead.control.commands.service import CommandFilter
from stead.control.core import Core
from stead.control.people.caller import SYSTEM
from stead.control.store import commands, workspaces
from stead.control.store.rows import Connection
from stead.control.store.store import Store
from stead.control.workspaces.advance import command_values
from stead.control.workspaces.service import WorkspaceFilter
from stead.model.commands import CommandState
from stead.model.workspaces import CommandKind
from stead.protocol.errors import SteadError
from stead.protocol.messages import Command, CommandProgress, CommandResult, WorkspaceReport, WorkspaceSpec
from unit.control.fakenode import FakeNode, enrol, enrol_known
from unit.control.waiting import until, until_state

pytestmark = pytest.mark.anyio


async def commands_of(core: Core, **filters: str) -> list[CommandAnswer]:
    """Those of a `workspace`, in a `state`, or all."""
    return (await core.commands.list(SYSTEM, CommandFilter(**filters), 500, "")).items


def in_order(node: FakeNode) -> bool:
    """Whether each workspace's commands were done in their order, none twice."""
    order = defaultdict(list)
    for workspace_id, sequence in node.order:
        order[workspace_id].append(sequence)
    return all(sequences == sorted(set(sequences)) for sequences in order.values())


async def test_a_command_goes_through_its_states(core: Core) -> None:
    node = await enrol(core, "one")
    go, node.steps = node.hold(), ["prepare", "ready"]
    async with node.link(core):
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        assert made.state.value == "pending"
        await until_state(core, "w", "starting")
        (command,) = await commands_of(core, workspace=made.id)
        assert (command.state, command.attempts, command.sequence) == ("acknowledged", 1, 1)
        go.set()
        running = await until_state(core, "w", "running")
        command = await core.commands.get(SYSTEM, command.id)
        assert command.state == "completed"
        assert command.ended is not None
        assert [(step.name, step.seconds) for step in running.steps] == [("prepare", 0.5), ("ready", 0.5)]
        assert (running.isolation, running.persistence, running.reachable) == ("namespaces", "disk", True)


async def test_what_waits_for_an_offline_node_is_delivered_when_it_comes(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="early"))
        await until_state(core, "early", "running")
    await core.workspaces.create(SYSTEM, WorkspaceCreate(name="late", node="one"))
    await core.workspaces.stop(SYSTEM, "early")
    assert {command.state for command in await commands_of(core, state="queued")} == {"queued"}
    node.epoch += 1
    async with node.link(core):
        await until_state(core, "late", "running")
        await until_state(core, "early", "stopped")


async def test_a_lost_acknowledgement_is_answered_from_the_journal(core: Core) -> None:
    """The link dies after the node has done it and before it could say so."""
    node = await enrol(core, "one")
    done = anyio.Event()
    peer_closed = anyio.Event()

    async def cut(command: Command) -> None:
        node.before = None
        peer, node.peer = node.peer, None
        assert peer is not None
        await peer.close()
        peer_closed.set()
        done.set()

    node.before = cut
    async with node.link(core):
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        with anyio.fail_after(30):
            await done.wait()
            while not all(node.journal.values()):
                await anyio.sleep(0.01)
    node.epoch += 1
    async with node.link(core):
        await until_state(core, "w", "running")
    (command,) = await commands_of(core, workspace=made.id)
    assert command.attempts >= 1
    assert node.effects == {command.id: 1}


async def test_the_same_result_again_changes_nothing(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core) as peer:
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        before = await until_state(core, "w", "running")
        (result,) = [result for result in node.journal.values() if result]
        for outcome in ("completed", "failed", "unknown"):
            await peer.request(msgspec.structs.replace(result, outcome=outcome))
        assert await core.workspaces.get(SYSTEM, made.id) == before
        unknown = CommandResult(request_id="", command_id="cm_" + "0" * 26, outcome="completed")
        assert await peer.request(unknown) is None


async def test_ordered_within_a_workspace_and_concurrent_across(core: Core) -> None:
    node = await enrol(core, "one")
    running: set[str] = set()
    together = 0

    async def watch(command: Command) -> None:
        nonlocal together
        assert command.workspace_id not in running
        running.add(command.workspace_id)
        together = max(together, len(running))
        await anyio.sleep(0.01)
        running.discard(command.workspace_id)

    node.before = watch
    async with node.link(core):
        names = [f"w{number}" for number in range(10)]
        await asyncio.gather(*[core.workspaces.create(SYSTEM, WorkspaceCreate(name=name)) for name in names])
        for verb in ("stop", "start", "restart", "stop", "start"):
            await asyncio.gather(*[getattr(core.workspaces, verb)(SYSTEM, name) for name in names])
            await anyio.sleep(0.02)
        for name in names:
            await until_state(core, name, "running")
    assert together > 1
    assert in_order(node)
    assert set(node.effects.values()) == {1}


async def test_several_waiting_commands_of_a_workspace_are_delivered_one_after_the_other(core: Core) -> None:
    node = await enrol_known(core, "one")
    made = await _waiting_workspace(core, node)
    async with node.link(core):
        await until(core, lambda: _ended(core, made))
    assert [sequence for _, sequence in node.order] == [1, 2, 3]


async def _waiting_workspace(core: Core, node: FakeNode) -> str:
    """A workspace on an offline node with three commands in its queue."""
    made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node=node.name))
    row = await core.store.read(commands.by_ids, [(await commands_of(core))[0].id])
    first = vars(next(iter(row.values())))
    for number in (2, 3):
        values = first | {"id": f"cm_{number:026d}", "sequence": number, "kind": "restart"}
        await core.store.write(commands.insert, values)
    await core.store.write(workspaces.change, made.id, {"sequence": 3}, time.time())
    return made.id


async def _ended(core: Core, workspace_id: str) -> bool:
    return all(command.state == "completed" for command in await commands_of(core, workspace=workspace_id))


async def test_a_lease_that_is_over_delivers_the_same_command_again(core: Core) -> None:
    node = await enrol(core, "one")
    go = node.hold()
    async with node.link(core):
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        await until_state(core, "w", "starting")
        (command_id,) = node.deliveries
        await core.store.write(_end_lease, command_id)
        await core.dispatcher.sweep()
        with anyio.fail_after(30):
            while node.deliveries[command_id] < 2:
                await anyio.sleep(0.01)
        go.set()
        await until_state(core, "w", "running")
        assert (await core.commands.get(SYSTEM, command_id)).attempts == 2
    assert node.effects[command_id] == 1


def _end_lease(conn: Connection, command_id: str) -> None:
    conn.execute(commands.commands_table.update().where(commands.c.id == command_id).values(lease=1.0))


def _past_deadline(conn: Connection) -> None:
    conn.execute(commands.commands_table.update().where(commands.c.ended.is_(None)).values(deadline=1.0))


async def test_a_deadline_that_passes_expires_the_command_and_the_node_gets_a_new_one(core: Core) -> None:
    node = await enrol_known(core, "one")
    made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="one"))
    await core.store.write(_past_deadline)
    await core.dispatcher.sweep()
    (command,) = await commands_of(core, workspace=made.id)
    assert (command.state, command.error and command.error.code) == ("expired", "expired")
    waiting = await core.workspaces.get(SYSTEM, "w")
    assert (waiting.state, waiting.error and waiting.error.code) == ("pending", "expired")
    async with node.link(core):
        await until_state(core, "w", "running")
    assert command.id not in node.effects


async def test_a_command_that_waits_can_be_taken_back(core: Core) -> None:
    node = await enrol_known(core, "one")
    made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="one"))
    (command,) = await commands_of(core, workspace=made.id)
    assert (await core.commands.cancel(SYSTEM, command.id)).state == "cancelled"
    assert (await core.workspaces.get(SYSTEM, "w")).state.value == "stopped"
    with pytest.raises(SteadError, match="already"):
        await core.commands.cancel(SYSTEM, command.id)
    async with node.link(core):
        await core.workspaces.start(SYSTEM, "w")
        await until_state(core, "w", "running")
    assert command.id not in node.effects


async def test_a_command_that_a_node_has_is_taken_back_only_if_the_node_agrees(core: Core) -> None:
    node = await enrol(core, "one")
    go = node.hold()
    async with node.link(core):
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        await until_state(core, "w", "starting")
        (command,) = await commands_of(core, workspace=made.id)
        assert (await core.commands.cancel(SYSTEM, command.id)).state == "cancelled"
        assert node.cancelled == [command.id]
        go.set()
        await core.workspaces.start(SYSTEM, "w")
        await until_state(core, "w", "running")
        assert command.id not in node.effects


async def test_a_command_that_a_node_has_begun_is_not_taken_back(core: Core) -> None:
    node = await enrol(core, "one")
    node.hold(begun=True)
    async with node.link(core):
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        await until_state(core, "w", "starting")
        (command,) = await commands_of(core, workspace=made.id)
        with pytest.raises(SteadError, match="begun") as caught:
            await core.commands.cancel(SYSTEM, command.id)
        assert caught.value.code == "conflict"
        assert (await core.commands.get(SYSTEM, command.id)).ended is None


async def test_a_node_that_refuses_for_good_fails_the_command(core: Core) -> None:
    node = await enrol(core, "one")

    async def refuse(peer: object, message: object) -> object:
        raise SteadError("refused", "not here")

    node.request = refuse  # type: ignore[method-assign]
    async with node.link(core):
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        failed = await until_state(core, "w", "failed")
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("refused", "not here")
        (command,) = await commands_of(core, workspace=made.id)
        assert command.state == "failed"


async def test_a_node_speaks_only_for_its_own(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    mine, other = await enrol(core, "mine"), await enrol(core, "other")
    go = mine.hold()
    async with mine.link(core), other.link(core) as foreign:
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="mine"))
        await until_state(core, "w", "starting")
        (command_id,) = mine.deliveries
        report = WorkspaceReport(workspace_id=made.id, generation=1, state="running")
        claim = CommandResult(request_id="", command_id=command_id, outcome="completed", report=report)
        with pytest.raises(SteadError) as caught:
            await foreign.request(claim)
        assert caught.value.code == "forbidden"
        await foreign.send(CommandProgress(command_id=command_id, step="stolen"))
        await foreign.request(msgspec.structs.replace(claim, command_id="cm_" + "0" * 26))
        await other.send_inventory()
        go.set()
        after = await until_state(core, "w", "running")
        assert after.steps == []
    assert "spoke for what is not its own" in caplog.text
    kinds = [event.kind for event in (await core.workspaces.history(SYSTEM, made.id, "", 100)).items]
    assert kinds[0] == "workspace.created"


async def test_what_a_node_writes_is_bounded(core: Core) -> None:
    node = await enrol(core, "one")
    node.steps = [f"{'x' * 5000}-{number}" for number in range(3)] + [f"step-{number}" for number in range(200)]
    node.fail = lambda command: SteadError("refused", "y" * 100_000, big="z" * 100_000)
    async with node.link(core):
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        failed = await until_state(core, "w", "failed")
    assert len(failed.steps) == results.MOST_STEPS
    assert max(len(step.name) for step in failed.steps) == results.STEP_CHARACTERS
    assert failed.error is not None
    assert (len(failed.error.message), failed.error.details) == (results.FAULT_CHARACTERS, {})


async def test_a_result_with_the_report_of_another_workspace_is_refused(core: Core) -> None:
    node = await enrol(core, "one")
    node.hold()
    async with node.link(core) as peer:
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        await until_state(core, "w", "starting")
        (command_id,) = node.deliveries
        report = WorkspaceReport(workspace_id="ws_" + "0" * 26, generation=1, state="running")
        with pytest.raises(SteadError, match="another workspace"):
            await peer.request(CommandResult(request_id="", command_id=command_id, outcome="completed", report=report))


class Weather:
    """A link that loses, doubles and delays messages, the same way each time."""

    def __init__(self) -> None:
        self._chance = random.Random(7)

    def fate(self, message: str | bytes) -> list[tuple[float, str | bytes]]:
        text = message if isinstance(message, str) else ""
        if not any(word in text for word in ('"command.', '"ack"', '"workspace.')):
            return [(0.0, message)]
        dice = self._chance.random()
        if dice < 0.01:
            return []
        if dice < 0.06:
            return [(0.0, message), (0.005, message)]
        return [(self._chance.random() * 0.01 if dice < 0.15 else 0.0, message)]

    async def keep_linked(self, core: Core, node: FakeNode, stop: anyio.Event) -> None:
        """Cuts the link again and again, each time in the middle of the work; a calm one now and then."""
        while not stop.is_set():
            node.epoch += 1
            goal = len(node.effects) + self._chance.randrange(20, 700)
            async with node.link(core, self.fate if node.epoch % 4 else None, inventory=False):
                with anyio.move_on_after(1.0):
                    while len(node.effects) < goal and not stop.is_set():
                        await anyio.sleep(0.02)


async def test_workspaces_over_a_link_that_loses_doubles_delays_and_is_cut(core: Core) -> None:
    node = await enrol_known(core, "one")
    names, stop = [f"w{number}" for number in range(50)], anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(Weather().keep_linked, core, node, stop)
        await asyncio.gather(*[core.workspaces.create(SYSTEM, WorkspaceCreate(name=n, node="one")) for n in names])
        for verb in ("stop", "start", "restart", "stop", "restart"):
            await asyncio.gather(*[getattr(core.workspaces, verb)(SYSTEM, name) for name in names])
            await anyio.sleep(0.1)
        for name in names:
            await until_state(core, name, "running")
        await asyncio.gather(*[core.workspaces.delete(SYSTEM, name) for name in names])
        await until(core, lambda: _all_gone(core))
        stop.set()
    assert set(node.effects.values()) == {1}
    assert node.workspaces == {}
    assert in_order(node)


@pytest.mark.timeout(300)
async def test_ten_thousand_commands_over_that_link_have_one_effect_each_in_order(core: Core) -> None:
    node = await enrol_known(core, "one")
    across, deep = 400, 25
    await core.store.write(_fill, node.node_id, across, deep)
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(Weather().keep_linked, core, node, stop)
        with anyio.fail_after(280):
            while await core.store.read(_live, node.node_id):
                await anyio.sleep(0.1)
        stop.set()
    assert len(node.effects) == across * deep
    assert set(node.effects.values()) == {1}
    assert in_order(node)
    assert sum(node.deliveries.values()) > across * deep


def _fill(conn: Connection, node_id: str, across: int, deep: int) -> None:
    """Queues of commands."""
    now = time.time()
    for number in range(across):
        spec = WorkspaceSpec(workspace_id=f"ws_{number:026d}", name="w", generation=1, driver="process")
        for sequence in range(1, deep + 1):
            kind = CommandKind.RESTART if sequence < deep else CommandKind.DELETE
            commands.insert(conn, command_values(spec, node_id, "", kind, sequence, now))


def _live(conn: Connection, node_id: str) -> set[str]:
    return commands.live_workspaces(conn, node_id)


async def _all_gone(core: Core) -> bool:
    return not (await core.workspaces.list(SYSTEM, WorkspaceFilter(), 1, "")).items


async def test_ended_commands_never_change(core: Core) -> None:
    await enrol_known(core, "one")
    await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="one"))
    (command_id,) = [command.id for command in await commands_of(core)]
    assert await core.store.write(commands.end, command_id, CommandState.COMPLETED, None, 1.0) is False
    assert await core.store.write(results.cancel, command_id, True, 1.0) is not None
    for state in (CommandState.EXPIRED, CommandState.FAILED, CommandState.CANCELLED):
        assert await core.store.write(commands.end, command_id, state, None, 1.0) is False


async def test_more_than_one_pass_of_commands_is_replayed_once_each(core: Core) -> None:
    node = await enrol_known(core, "one")
    go = node.hold()
    await core.store.write(_fill, node.node_id, 700, 1)
    for _ in range(2):
        node.epoch += 1
        async with node.link(core, inventory=False):
            with anyio.fail_after(60):
                while len(node.deliveries) < 700 or min(node.deliveries.values()) < node.epoch - 1:
                    await anyio.sleep(0.02)
    assert max(node.deliveries.values()) <= 3
    go.set()


async def test_a_new_control_plane_goes_on_where_the_old_one_was_killed(core_store: Store) -> None:
    """The core ends in the middle of everything, five times; nothing is lost, nothing is done twice."""
    first = Core(core_store)
    node = await enrol(first, "one")
    names = [f"w{number}" for number in range(30)]
    for life, verb in enumerate(["create", "stop", "start", "restart", "delete"]):
        await _one_life(Core(core_store), node, verb, names, 20 * (life + 1))
    last = Core(core_store)
    node.epoch += 1
    async with anyio.create_task_group() as group:
        group.start_soon(last.run)
        async with node.link(last):
            for name in names:
                with contextlib.suppress(SteadError):
                    await last.workspaces.delete(SYSTEM, name)
            await until(last, lambda: _all_gone(last))
        group.cancel_scope.cancel()
    assert set(node.effects.values()) == {1}
    assert node.workspaces == {}
    assert in_order(node)


async def _one_life(core: Core, node: FakeNode, verb: str, names: list[str], effects: int) -> None:
    """Asks for the verb everywhere and dies while it is being done."""
    node.epoch += 1
    async with anyio.create_task_group() as group:
        group.start_soon(core.run)
        async with node.link(core):
            for name in names:
                if verb == "create":
                    group.start_soon(core.workspaces.create, SYSTEM, WorkspaceCreate(name=name))
                else:
                    group.start_soon(getattr(core.workspaces, verb), SYSTEM, name)
            await until(core, lambda: _some_effects(node, effects))
            if verb == "create":
                await until(core, lambda: _count(core, len(names)))
            group.cancel_scope.cancel()


async def _some_effects(node: FakeNode, number: int) -> bool:
    return len(node.effects) >= number


async def _count(core: Core, number: int) -> bool:
    return len((await core.workspaces.list(SYSTEM, WorkspaceFilter(), 100, "")).items) == number
