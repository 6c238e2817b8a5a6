"""What is repaired after things went wrong behind our back."""

import anyio
import msgspec
import pytest

from stead.api.types import WorkspaceCreate
from stead.control.commands.service import CommandFilter
from stead.control.core import Core
from stead.control.nodes.registry import NodeRegistry
from stead.control.people.caller import SYSTEM
from stead.control.store import commands, events, workspaces
from stead.control.store.rows import Connection
from stead.control.store.schema import workspaces as table
from stead.control.store.store import Store
from stead.control.workspaces import reconciler
from stead.control.workspaces.service import WorkspaceFilter
from stead.protocol.errors import SteadError
from stead.protocol.messages import Command, WorkspaceChanged, WorkspaceReport
from unit.control.fakenode import FakeNode, enrol, enrol_known
from unit.control.waiting import until, until_state

pytestmark = pytest.mark.anyio


async def running(core: Core, name: str = "w") -> str:
    made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name=name))
    await until_state(core, name, "running")
    return made.id


def orphan(number: int, driver: str = "process") -> WorkspaceReport:
    return WorkspaceReport(
        workspace_id=f"ws_{number:026d}", generation=3, state="running", driver=driver, last_sequence=7
    )


async def test_a_workspace_that_vanished_is_started_again(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        workspace_id = await running(core)
    del node.workspaces[workspace_id]
    node.epoch += 1
    async with node.link(core):
        await until(core, lambda: _present(node, workspace_id))
        again = await until_state(core, "w", "running")
    assert again.generation == 1
    assert [sequence for _, sequence in node.order] == [1, 2]


async def _present(node: FakeNode, workspace_id: str) -> bool:
    return workspace_id in node.workspaces


async def test_a_workspace_that_stopped_by_itself_is_started_again(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core) as peer:
        workspace_id = await running(core)
        report = msgspec.structs.replace(node.workspaces[workspace_id], state="stopped")
        await peer.request(WorkspaceChanged(request_id="", report=report))
        assert (await core.workspaces.get(SYSTEM, "w")).state.value == "starting"
        await until_state(core, "w", "running")
        assert len(node.order) == 2


async def test_an_end_that_is_told_while_an_order_is_under_way_is_not_heard_and_not_lost(core: Core) -> None:
    """A workspace may end between its start and the hearing of it."""
    node = await enrol(core, "one")
    async with node.link(core) as peer:
        go = node.hold()
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        fault = SteadError("driver_failed", "it died").fault()
        report = WorkspaceReport(workspace_id=made.id, generation=1, state="failed", last_sequence=1, error=fault)
        with pytest.raises(SteadError) as caught:
            await peer.request(WorkspaceChanged(request_id="", report=report))
        assert (caught.value.code, caught.value.retry) == ("in_progress", True)
        go.set()
        await until_state(core, "w", "running")
        await peer.request(WorkspaceChanged(request_id="", report=report))
        assert (await core.workspaces.get(SYSTEM, "w")).state.value == "starting"


async def test_a_stopped_workspace_that_runs_is_stopped(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        workspace_id = await running(core)
        await core.workspaces.stop(SYSTEM, "w")
        await until_state(core, "w", "stopped")
        node.workspaces[workspace_id] = msgspec.structs.replace(node.workspaces[workspace_id], state="running")
        await node.send_inventory("again")
        await until(core, lambda: _stopped(node, workspace_id))


async def _stopped(node: FakeNode, workspace_id: str) -> bool:
    return node.workspaces[workspace_id].state == "stopped"


async def test_a_report_from_before_the_last_result_says_nothing(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core) as peer:
        workspace_id = await running(core)
        await core.workspaces.restart(SYSTEM, "w")
        await until(core, lambda: _sequence(node, workspace_id, 2))
        await until_state(core, "w", "running")
        old = WorkspaceReport(workspace_id=workspace_id, generation=1, state="stopped", last_sequence=1)
        await peer.request(WorkspaceChanged(request_id="", report=old))
        assert (await core.workspaces.get(SYSTEM, "w")).state.value == "running"


async def _sequence(node: FakeNode, workspace_id: str, sequence: int) -> bool:
    return node.workspaces[workspace_id].last_sequence == sequence


async def test_a_guest_that_came_back_is_told_and_changes_nothing_else(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core) as peer:
        workspace_id = await running(core)
        before = await core.workspaces.get(SYSTEM, "w")
        report = msgspec.structs.replace(node.workspaces[workspace_id], guest_restarts=2, guest_boot_id="b2")
        await peer.request(WorkspaceChanged(request_id="", report=report))
        after = await core.workspaces.get(SYSTEM, "w")
        assert (after.guest_restarts, after.state, after.version) == (2, before.state, before.version + 1)
        await peer.request(WorkspaceChanged(request_id="", report=report))
        assert (await core.workspaces.get(SYSTEM, "w")).version == after.version


async def test_an_inventory_counts_only_when_its_last_page_has_come(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        for number in range(5):
            await running(core, f"w{number}")
        await node.send_inventory("whole")
        states = {w.state.value for w in (await core.workspaces.list(SYSTEM, WorkspaceFilter(), 10, "")).items}
    assert states == {"running"}
    assert len(node.order) == 5


async def test_a_failed_start_is_tried_again_until_it_works(core: Core) -> None:
    node = await enrol(core, "one")
    failures = 2

    def fail(command: Command) -> SteadError | None:
        nonlocal failures
        failures -= 1
        return SteadError("driver_failed", "not yet") if failures >= 0 else None

    node.fail = fail
    async with node.link(core):
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        ready = await until_state(core, "w", "running")
    assert ready.error is None
    page = await core.commands.list(SYSTEM, CommandFilter(), 10, "")
    assert [command.state for command in page.items] == ["completed", "failed", "failed"]


async def test_a_start_that_cannot_work_fails_with_the_reason_and_can_be_asked_again(core: Core) -> None:
    node = await enrol(core, "one")
    node.fail = lambda command: SteadError("isolation_unavailable", "no namespaces here")
    async with node.link(core):
        await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w"))
        failed = await until_state(core, "w", "failed")
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("isolation_unavailable", "no namespaces here")
        assert failed.error.hint
        node.fail = lambda command: None
        await core.workspaces.start(SYSTEM, "w")
        assert (await until_state(core, "w", "running")).error is None


async def test_leftovers_of_deleted_workspaces_are_removed(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        workspace_id = await running(core)
        report = node.workspaces[workspace_id]
        await core.workspaces.delete(SYSTEM, "w")
        await until(core, lambda: _gone(node, workspace_id))
        await until(core, lambda: _deleted(core, workspace_id))
        node.workspaces[workspace_id] = report
        await node.send_inventory("again")
        await until(core, lambda: _gone(node, workspace_id))
        assert (await core.workspaces.list(SYSTEM, WorkspaceFilter(state="deleted"), 5, "")).items[0].id == workspace_id


async def _gone(node: FakeNode, workspace_id: str) -> bool:
    return workspace_id not in node.workspaces


async def _deleted(core: Core, workspace_id: str) -> bool:
    row = await core.store.read(workspaces.by_id, workspace_id)
    return row is not None and row.state == "deleted"


async def test_unknown_workspaces_are_removed_while_they_are_few(core: Core) -> None:
    node = await enrol(core, "one")
    async with node.link(core):
        kept = {await running(core, f"w{number}") for number in range(3)}
        node.workspaces[orphan(1).workspace_id] = orphan(1)
        await node.send_inventory("again")
        await until(core, lambda: _gone(node, orphan(1).workspace_id))
        assert set(node.workspaces) == kept
        removal = (await core.commands.list(SYSTEM, CommandFilter(workspace=orphan(1).workspace_id), 5, "")).items[0]
        assert (removal.kind, removal.sequence) == ("delete", 8)


async def test_nothing_is_removed_when_more_than_half_would_vanish(core: Core) -> None:
    node = await enrol(core, "one")
    for number in range(4):
        node.workspaces[orphan(number).workspace_id] = orphan(number)
    async with node.link(core):
        kept = await running(core)
        await node.send_inventory("again")
    assert len(node.workspaces) == 5
    assert kept in node.workspaces
    page = await core.store.read(events.page, SYSTEM, node.node_id, "", 50)
    assert [event.data for event in page.items if event.kind == "node.reaping_paused"][-1] == {
        "unknown": 4,
        "present": 5,
    }


async def test_a_pass_removes_only_so_many(core_store: Store) -> None:
    reports = [orphan(number) for number in range(60)]
    known = [WorkspaceReport(workspace_id=f"known-{number}", generation=1, state="running") for number in range(70)]
    await core_store.write(_insert_known, known)
    assert await core_store.write(reconciler._reap, "nd_1", [*reports, *known], 1.0) == reconciler.REAPED_AT_ONCE
    assert await core_store.write(reconciler._reap, "nd_1", [*reports, *known], 2.0) == 10
    assert await core_store.write(reconciler._reap, "nd_1", [*reports, *known], 3.0) == 0
    assert len(await core_store.read(commands.live_workspaces, "nd_1")) == 60


def _insert_known(conn: Connection, known: list[WorkspaceReport]) -> None:
    for report in known:
        values = {column.name: _empty(column.type.python_type) for column in table.columns}
        more = {
            "id": report.workspace_id,
            "name": report.workspace_id,
            "node_id": "nd_1",
            "state": "running",
            "live": None,
        }
        workspaces.insert(conn, values | more | {"error": None, "limits": [], "steps": [], "environment": {}})


def _empty(kind: type) -> object:
    return kind() if kind in (str, int, float) else []


async def test_a_workspace_of_another_node_is_left_alone(core: Core) -> None:
    one, two = await enrol(core, "one"), await enrol(core, "two")
    async with one.link(core), two.link(core) as peer:
        made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="one"))
        await until_state(core, "w", "running")
        before = await core.workspaces.get(SYSTEM, "w")
        stolen = WorkspaceReport(workspace_id=made.id, generation=9, state="failed", driver="process")
        two.workspaces[made.id] = stolen
        await two.send_inventory("again")
        with pytest.raises(SteadError) as caught:
            await peer.request(WorkspaceChanged(request_id="", report=stolen))
        assert caught.value.code == "forbidden"
        assert await core.workspaces.get(SYSTEM, "w") == before
        assert two.order == []


async def test_a_silent_node_kills_and_moves_nothing(core: Core) -> None:
    node, spare = await enrol(core, "one"), await enrol(core, "two")
    spare.labels = {"spare": "yes"}
    async with spare.link(core):
        async with node.link(core):
            made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="one"))
            await until_state(core, "w", "running")
        known = core.registry.get(node.node_id)
        assert known is not None
        known.heard -= 100.0
        await core.watch.look()
        await core.reconciler.pass_once()
        silent = await core.workspaces.get(SYSTEM, "w")
        assert (silent.state, silent.reachable, silent.node_id) == ("running", False, node.node_id)
        assert (await core.nodes.get(SYSTEM, "one")).status == "offline"
        node.epoch += 1
        async with node.link(core):
            back = await core.workspaces.get(SYSTEM, "w")
            assert (back.state, back.reachable) == ("running", True)
    assert [sequence for name, sequence in node.order if name == made.id] == [1]
    assert spare.order == []


async def test_a_pass_orders_what_a_crash_left_without_a_command(core: Core) -> None:
    node = await enrol_known(core, "one")
    made = await core.workspaces.create(SYSTEM, WorkspaceCreate(name="w", node="one"))
    await core.store.write(_forget_command, made.id)
    async with node.link(core, inventory=False):
        await core.reconciler.pass_once()
        await until_state(core, "w", "running")


def _forget_command(conn: Connection, workspace_id: str) -> None:
    conn.execute(commands.commands_table.delete().where(commands.c.workspace_id == workspace_id))
    workspaces.change(conn, workspace_id, {"live": None}, 1.0)


async def test_put_off_tries_wake_the_reconciler_in_time(core_store: Store) -> None:
    core = Core(core_store)
    assert isinstance(core.registry, NodeRegistry)
    core.reconciler.look_at(50.0)
    core.reconciler.look_at(20.0)
    core.reconciler.look_at(90.0)
    assert core.reconciler._next == 20.0
    with anyio.fail_after(5):
        await core.reconciler._sooner.wait()
