"""The control plane dies at each unit of its store, before and after it is durable: one effect, nothing lost."""

import sys
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from stead.model.workspaces import Observed
from stead.testing.cluster import Cluster
from stead.testing.controlprogram import UNITS
from support.aftermath import Aftermath

PROGRAM = (sys.executable, "-m", "stead.testing.controlprogram")

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("unit", UNITS)
async def test_a_life_goes_on(cluster: Cluster, aftermath: Aftermath, tmp_path: Path, unit: str, when: str) -> None:
    armed = tmp_path / "armed"
    program = (*PROGRAM, "--at", unit, "--when", when, "--armed", str(armed))
    await to_thread.run_sync(cluster.server.kill)
    await to_thread.run_sync(cluster.server.start, program)
    await to_thread.run_sync(cluster.until, cluster.node_online, "the node is online")
    armed.touch()
    async with anyio.create_task_group() as group, cluster.client(patience=90) as stead:
        group.start_soon(_start_again, cluster)
        with anyio.fail_after(150):
            workspace = await stead.workspaces.create(f"{unit.replace('_', '')}-{when}")
            result = await workspace.exec(["sh", "-c", "echo $$ >>started; wc -l <started"])
            await workspace.stop()
        assert result.stdout.strip() == b"1"
        await aftermath.holds(stead)
        assert [one.id async for one in stead.workspaces.list(name=workspace.name)] == [workspace.id]
        assert (await workspace.refresh()).state is Observed.STOPPED
        starts = [command.kind.value async for command in stead.commands.list(workspace=workspace.id)]
        assert sorted(starts) == ["start", "stop"]
        await workspace.delete()
        await aftermath.holds(stead)


async def _start_again(cluster: Cluster) -> None:
    """As a service manager does when the control plane has died, which it must."""
    await to_thread.run_sync(cluster.server.wait, 120)
    await to_thread.run_sync(cluster.start_control)
