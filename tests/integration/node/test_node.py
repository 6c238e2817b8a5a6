"""A real node program against a scripted control plane: it enrols, obeys, survives, and goes down in order."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from integration.node.conftest import NodeProgram, processes_of
from integration.node.control import Control, serve, spec
from stead.protocol.errors import SteadError
from stead.protocol.messages import CommandCancel
from support.deadline import PATIENCE, eventually
from unit.drivers.holder import HOLDER

pytestmark = pytest.mark.anyio
Start = Callable[..., NodeProgram]
HOLDERS: dict[str, Any] = {"options.process.holder": list(HOLDER)}


async def test_it_enrols_says_hello_and_reports(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    await control.until(lambda: control.inventories and len(control.health) > 1, "an inventory and heartbeats")
    (hello,) = control.hellos
    assert hello.node_id in control.keys
    assert [driver.name for driver in hello.drivers] == ["process"]
    assert hello.facts.cpus == os.cpu_count()
    assert control.inventories == [[]]
    health = control.health[-1]
    assert 0 < health.memory_used_bytes < health.memory_total_bytes
    assert 0 < health.disk_used_bytes < health.disk_total_bytes
    key = node.folder / "data" / "node" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert await anyio.to_thread.run_sync(node.terminate) == 0
    assert control.token not in node.log()


async def test_a_wrong_token_ends_it_with_a_reason(control: Control, start_node: Start) -> None:
    control.token = "another"
    node = start_node()
    control.token = "yet another"
    assert node.process is not None
    assert await anyio.to_thread.run_sync(node.process.wait, PATIENCE) == 1
    assert "the token is not valid" in node.log()


async def test_start_stop_start_restart_delete(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    wanted = spec()
    started = await control.do("start", wanted)
    assert started.outcome == "completed"
    assert started.report is not None
    assert (started.report.state, started.report.generation) == ("running", 1)
    steps = [(p.step, p.done) for p in control.progress]
    assert steps == [(s, d) for s in ("prepare", "launch", "guest") for d in (False, True)]
    stopped = await control.do("stop", wanted)
    assert stopped.report is not None
    assert stopped.report.state == "stopped"
    again = await control.do("start", spec(wanted.workspace_id, generation=2))
    assert again.report is not None
    assert (again.report.state, again.report.generation) == ("running", 2)
    restarted = await control.do("restart", spec(wanted.workspace_id, generation=3))
    assert restarted.report is not None
    assert (restarted.report.state, restarted.report.generation) == ("running", 3)
    assert (node.workspaces / wanted.workspace_id).is_dir()
    deleted = await control.do("delete", wanted)
    assert deleted.outcome == "completed"
    assert deleted.report is not None
    assert deleted.report.state == "absent"
    assert not (node.workspaces / wanted.workspace_id).exists()
    assert await anyio.to_thread.run_sync(node.terminate) == 0


async def test_isolation_that_cannot_be_given_makes_nothing(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    result = await control.do("start", spec(isolation="vm"))
    assert (result.outcome, result.error and result.error.code) == ("failed", "isolation_unavailable")
    assert result.report is not None
    assert result.report.state == "absent"
    assert list(node.workspaces.iterdir()) == []


async def test_a_foreign_workspace_does_not_exist(control: Control, start_node: Start) -> None:
    start_node(**HOLDERS)
    with pytest.raises(SteadError) as caught:
        await control.call(spec().workspace_id, "workspace.info")
    assert caught.value.code == "not_found"


async def test_killed_and_started_again_it_finds_its_workspaces(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    running, stopped = spec(), spec()
    await control.do("start", running)
    await control.do("start", stopped)
    await control.do("stop", stopped)
    before = (node.workspaces / running.workspace_id / "meta.json").read_bytes()
    node.kill()
    await control.until(lambda: control.peer is None, "the link is gone")
    control.inventories.clear()
    node.start()
    await control.until(lambda: control.inventories, "an inventory")
    states = {report.workspace_id: report.state for report in control.inventories[-1]}
    assert states == {running.workspace_id: "running", stopped.workspace_id: "stopped"}
    assert (node.workspaces / running.workspace_id / "meta.json").read_bytes() == before
    first, second = control.hellos
    assert first.node_id == second.node_id
    assert first.boot_id != second.boot_id
    assert first.epoch < second.epoch


async def test_a_result_is_repeated_until_it_is_acknowledged_also_after_a_kill(
    control: Control, start_node: Start
) -> None:
    node = start_node(**HOLDERS)
    control.deaf = True
    command = control.command("start", spec())
    await control.deliver(command)
    meta = node.workspaces / command.workspace_id / "meta.json"
    await anyio.to_thread.run_sync(lambda: eventually(lambda: meta.exists() and b'"up"' in meta.read_bytes(), "up"))
    node.kill()
    control.deaf = False
    node.start()
    result = await control.result(command)
    assert result.outcome == "completed"
    assert (await control.deliver(command))["phase"] in {"ended", "reported"}
    await control.until(lambda: len(control.results[command.command_id]) >= 2, "a known command is answered again")
    assert {r.outcome for r in control.results[command.command_id]} == {"completed"}


async def test_a_cancelled_command_never_begins_and_a_running_one_goes_on(control: Control, start_node: Start) -> None:
    start_node(**HOLDERS, at_once=1, drivers=["process", "scripted"], **{"options.scripted.start_seconds": 3.0})
    peer = await control.connected()
    slow = control.command("start", spec(driver="scripted"))
    waiting = control.command("start", spec())
    never_sent = control.command("start", spec())
    await control.deliver(slow)
    await control.until(lambda: control.progress, "the first runs")
    await control.deliver(waiting)

    async def cancel(command_id: str) -> bool:
        answer = await peer.request(CommandCancel(request_id="", command_id=command_id))
        return bool(answer["cancelled"])

    assert await cancel(waiting.command_id)
    assert await cancel(never_sent.command_id)
    assert not await cancel(slow.command_id)
    for command in (waiting, never_sent):
        await control.deliver(command)
        result = await control.result(command)
        assert (result.outcome, result.error and result.error.code) == ("failed", "cancelled")
    assert (await control.result(slow)).outcome == "completed"
    assert not await cancel(slow.command_id)


async def test_a_workspace_that_dies_is_told_and_repaired(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    wanted = spec()
    await control.do("start", wanted)
    meta = (node.workspaces / wanted.workspace_id / "meta.json").read_text()
    os.kill(int(meta.split('"pid":')[1].split(",")[0]), signal.SIGKILL)
    change = await control.until(lambda: control.changes, "the change is told")
    assert (change[0].workspace_id, change[0].state) == (wanted.workspace_id, "failed")
    repaired = await control.do("start", wanted)
    assert repaired.report is not None
    assert repaired.report.state == "running"


async def test_a_link_that_is_cut_comes_back(control: Control, start_node: Start) -> None:
    start_node(**HOLDERS)
    wanted = spec()
    await control.do("start", wanted)
    for _ in range(3):
        count = len(control.hellos)
        await control.cut()
        await control.until(lambda count=count: len(control.hellos) > count, "the node is back")
    assert len({hello.boot_id for hello in control.hellos}) == 1
    assert (await control.do("stop", wanted)).outcome == "completed"


async def test_a_control_plane_that_restarts_is_found_again_and_hears_the_result(
    control: Control, start_node: Start, tmp_path: Path
) -> None:
    async with serve(Control()) as first:
        node = NodeProgram(first, tmp_path / "other", **HOLDERS)
        node.start()
        command = first.command("start", spec())
        first.deaf = True
        await first.deliver(command)
        port = int(first.url.rsplit(":", 1)[1])
    second = Control()
    second.keys = first.keys
    async with serve(second, port):
        assert (await second.result(command)).outcome == "completed"
        assert (await second.do("delete", command.spec)).outcome == "completed"
        assert await anyio.to_thread.run_sync(node.terminate) == 0


async def test_what_no_record_knows_is_in_the_inventory_and_can_be_deleted(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    wanted = spec()
    await control.do("start", wanted)
    node.kill()
    for file in (node.folder / "data" / "node").glob("journal.sqlite*"):
        file.unlink()
    control.inventories.clear()
    node.start()
    await control.until(lambda: control.inventories, "an inventory")
    (report,) = control.inventories[-1]
    assert (report.workspace_id, report.state, report.generation) == (wanted.workspace_id, "running", 1)
    with pytest.raises(SteadError) as caught:
        await control.call(wanted.workspace_id, "workspace.info")
    assert caught.value.code == "not_found"
    assert (await control.do("delete", wanted)).outcome == "completed"
    assert list(node.workspaces.iterdir()) == []


async def test_it_goes_down_in_order_and_finishes_what_runs(control: Control, start_node: Start) -> None:
    node = start_node(drivers=["scripted"], **{"options.scripted.start_seconds": 0.5})
    command = control.command("start", spec(driver="scripted"))
    await control.deliver(command)
    await control.until(lambda: control.progress, "it runs")
    assert node.process is not None
    node.process.send_signal(signal.SIGTERM)
    assert (await control.result(command)).outcome == "completed"
    assert await anyio.to_thread.run_sync(node.process.wait, PATIENCE) == 0
    assert any(type(notice).__name__ == "GoAway" for notice in control.notices)


async def test_what_does_not_end_in_time_is_done_by_the_next_start(control: Control, start_node: Start) -> None:
    node = start_node(drivers=["scripted"], shutdown_seconds=0.2, **{"options.scripted.never_ready": True})
    command = control.command("start", spec(driver="scripted"))
    await control.deliver(command)
    await control.until(lambda: control.progress, "it runs")
    assert await anyio.to_thread.run_sync(node.terminate) == 0
    assert command.command_id not in control.results
    node.configure(drivers=["scripted"])
    node.start()
    assert (await control.result(command)).outcome == "completed"


async def test_a_second_node_on_the_same_folder_is_refused(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    await control.connected()
    first = node.process
    node.start()
    assert node.process is not None
    assert await anyio.to_thread.run_sync(node.process.wait, PATIENCE) == 1
    assert "another node runs" in node.log()
    node.process = first


@pytest.mark.parametrize("connected", [True, False])
async def test_it_ends_when_its_data_folder_was_deleted(tmp_path: Path, connected: bool) -> None:
    """Also without a control plane, which may be gone with it."""
    async with serve(Control()) as control:
        node = NodeProgram(control, tmp_path / "box", **HOLDERS)
        node.start()
        await control.connected()
        if connected:
            await ends_without_its_folder(node)
    if not connected:
        await ends_without_its_folder(node)


def removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


async def ends_without_its_folder(node: NodeProgram) -> None:
    assert node.process is not None
    eventually(lambda: removed(node.folder / "data"), "the folder is gone, whatever is put into it meanwhile")
    try:
        assert await anyio.to_thread.run_sync(node.process.wait, PATIENCE) == 1
        eventually(lambda: not processes_of(node.folder), "its nursery ends with it")
    finally:
        node.kill()


async def test_a_key_is_replaced_also_when_the_answer_was_lost(control: Control, start_node: Start) -> None:
    node = start_node(**HOLDERS)
    await control.connected()
    (node_id,) = control.keys
    first = control.keys[node_id]

    async def rotate() -> int:
        node.start(arguments=("--rotate-key",))
        assert node.process is not None
        return await anyio.to_thread.run_sync(node.process.wait, PATIENCE)

    running = node.process
    assert await rotate() == 1
    node.process = running
    assert await anyio.to_thread.run_sync(node.terminate) == 0
    control.deaf = True
    assert await rotate() == 1
    control.deaf = False
    assert await rotate() == 0
    assert control.rotations == 2
    assert control.keys[node_id] != first
    count = len(control.hellos)
    node.start()
    await control.until(lambda: len(control.hellos) > count, "the new key is accepted")
    assert control.refuse is None
