"""kill -9 of each part while a command streams, while workspaces are made, and while they are stopped."""

from contextlib import suppress

import anyio
import psutil
import pytest
from anyio import to_thread

from stead.model.workspaces import Observed
from stead.protocol.errors import SteadError
from stead.sdk.client import Stead
from stead.sdk.workspaces import Workspace
from stead.testing.cluster import Cluster, Part
from stead.toolbox.contract import ExecState
from support.aftermath import Aftermath

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

LINES = 60
KILL_AFTER = 400


def lines(count: int) -> list[str]:
    """A command that writes numbered lines slowly, and ends with code 7."""
    return ["sh", "-c", f"i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); sleep 0.05; done; exit 7"]


def numbered(count: int) -> bytes:
    """What `lines` writes."""
    return b"".join(b"line %d\n" % number for number in range(count))


async def crash(cluster: Cluster, part: Part, workspace: str) -> None:
    """Kills the part, and starts again what nothing else starts."""
    await to_thread.run_sync(cluster.kill, part, workspace if part in ("guest", "holder") else "")
    if part == "control":
        await to_thread.run_sync(cluster.start_control)


@pytest.mark.parametrize("part", ["control", "node", "guest"])
async def test_a_streaming_exec_loses_and_doubles_nothing(cluster: Cluster, aftermath: Aftermath, part: Part) -> None:
    async with cluster.client(patience=90) as stead:
        workspace = await stead.workspaces.create(f"stream-{part}")
        running = await workspace.start_exec(lines(LINES))
        got = bytearray()
        killed = False
        with anyio.fail_after(120):
            async for piece in running.output():
                got += piece.data
                if len(got) >= KILL_AFTER and not killed:
                    killed = True
                    await crash(cluster, part, workspace.id)
            status = await running.wait()
        assert killed
        assert bytes(got) == numbered(LINES)
        assert (status.state, status.exit_code) == (ExecState.EXITED, 7)
        await workspace.delete()
        await aftermath.holds(stead)


@pytest.mark.parametrize("part", ["control", "node", "guest"])
async def test_a_background_exec_goes_on_and_its_output_is_whole(
    cluster: Cluster, aftermath: Aftermath, part: Part
) -> None:
    async with cluster.client(patience=90) as stead:
        workspace = await stead.workspaces.create(f"background-{part}")
        started = await workspace.start_exec(lines(LINES), background=True)
        await crash(cluster, part, workspace.id)
        with anyio.fail_after(120):
            again = await workspace.attach(started.exec_id)
            got = b"".join([piece.data async for piece in again.output()])
            status = await again.wait()
        assert got == numbered(LINES)
        assert status.exit_code == 7
        await workspace.delete()
        await aftermath.holds(stead)


async def test_a_killed_guest_comes_back_and_the_workspace_says_so(cluster: Cluster) -> None:
    async with cluster.client(patience=90) as stead:
        workspace = await stead.workspaces.create("guestless")
        before = (await workspace.toolbox.info()).boot_id
        await crash(cluster, "guest", workspace.id)
        with anyio.fail_after(90):
            after = await workspace.toolbox.info()
            while after.boot_id == before:
                after = await workspace.toolbox.info()
            while (await workspace.refresh()).info.guest_restarts < 1:
                await anyio.sleep(0.05)
        assert after.guest_restarts == 1
        assert workspace.state is Observed.RUNNING
        await workspace.delete()


async def test_a_killed_holder_is_told_and_repaired_with_the_files_kept(cluster: Cluster, aftermath: Aftermath) -> None:
    async with cluster.client(patience=90) as stead:
        workspace = await stead.workspaces.create("holderless")
        await workspace.toolbox.write("kept", b"still here")
        await crash(cluster, "holder", workspace.id)
        content = b""
        with anyio.fail_after(120):
            while not content:
                with suppress(SteadError):
                    content = (await workspace.toolbox.read("kept")).content
                await anyio.sleep(0.2)
        assert content == b"still here"
        await workspace.delete()
        await aftermath.holds(stead)


@pytest.mark.parametrize("part", ["control", "node"])
@pytest.mark.parametrize("after", [0.02, 0.15, 0.5])
async def test_creates_and_stops_have_one_effect_each(
    cluster: Cluster, aftermath: Aftermath, part: Part, after: float
) -> None:
    async with cluster.client(patience=90) as stead:
        names = [f"burst-{part}-{int(after * 100)}-{number}" for number in range(3)]
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(_create, stead, name)
            await anyio.sleep(after)
            await crash(cluster, part, "")
        await aftermath.holds(stead)
        made = [workspace async for workspace in stead.workspaces.list() if workspace.name in names]
        assert sorted(workspace.name for workspace in made) == sorted(names)
        for workspace in made:
            result = await workspace.exec(["sh", "-c", "echo $$ >>started; wc -l <started"])
            assert result.stdout.strip() == b"1"
        async with anyio.create_task_group() as group:
            for workspace in made:
                group.start_soon(_stop, workspace)
            await anyio.sleep(after)
            await crash(cluster, part, "")
        await aftermath.holds(stead)
        states = {(await workspace.refresh()).state for workspace in made}
        assert states == {Observed.STOPPED}
        for workspace in made:
            await workspace.delete()
        await aftermath.holds(stead)


@pytest.mark.parametrize("part", ["guest", "holder"])
async def test_a_workspace_whose_inside_dies_in_each_step_of_its_life(
    cluster: Cluster, aftermath: Aftermath, part: Part
) -> None:
    async with cluster.client(patience=90) as stead:
        workspace = await stead.workspaces.create(f"steps-{part}", wait=False)
        await crash(cluster, part, workspace.id)
        with anyio.fail_after(150):
            await workspace.wait(Observed.RUNNING)
            await _answers(workspace)
            if part == "guest":
                running = await workspace.start_exec(lines(20))
                await crash(cluster, part, workspace.id)
                assert b"".join([piece.data async for piece in running.output()]) == numbered(20)
            await workspace.restart(wait=False)
            await crash(cluster, part, workspace.id)
            await workspace.wait(Observed.RUNNING, generation=workspace.info.generation)
            await _answers(workspace)
            await workspace.stop(wait=False)
            await _kill_if_there(cluster, part, workspace.id)
            await workspace.wait(Observed.STOPPED)
        await workspace.delete()
        await aftermath.holds(stead)


async def _answers(workspace: Workspace) -> None:
    """It is repaired when a command runs in it."""
    while True:
        with suppress(SteadError):
            assert (await workspace.exec(["echo", "here"])).stdout == b"here\n"
            return
        await anyio.sleep(0.1)


async def _kill_if_there(cluster: Cluster, part: Part, workspace: str) -> None:
    """Stopping may have been quicker."""
    process = await to_thread.run_sync(cluster.process, part, workspace)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.kill()


async def _create(stead: Stead, name: str) -> None:
    with anyio.fail_after(150):
        await stead.workspaces.create(name)


async def _stop(workspace: Workspace) -> None:
    with anyio.fail_after(150):
        await workspace.stop()


async def test_two_clients_with_the_same_key_make_one_workspace(cluster: Cluster) -> None:
    async with cluster.client() as one, cluster.client() as two:
        made: list[str] = []

        async def create(stead: Stead) -> None:
            workspace = await stead.workspaces.create("twins", key="the-same-key")
            made.append(workspace.id)

        async with anyio.create_task_group() as group:
            group.start_soon(create, one)
            group.start_soon(create, two)
        assert len(set(made)) == 1
        found = [workspace.name async for workspace in one.workspaces.list()]
        assert found.count("twins") == 1
        await (await one.workspaces.get("twins")).delete()
