"""The node is killed at every step of create, stop and delete, and started again: each command ends once, nothing is left."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from integration.node.conftest import NodeProgram
from integration.node.control import Control, spec
from stead.testing.nodeprogram import POINTS
from support.deadline import PATIENCE
from unit.drivers.holder import HOLDER

pytestmark = pytest.mark.anyio
Start = Callable[..., NodeProgram]

FORKED = [point for point in POINTS if point.startswith(("driver.start.", "driver.end."))]


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at(control: Control, start_node: Start, point: str) -> None:
    await live(control, start_node, point, **{"options.process.holder": list(HOLDER)})


@pytest.mark.parametrize("point", FORKED)
async def test_killed_at_with_the_real_holder_from_its_nursery(control: Control, start_node: Start, point: str) -> None:
    await live(control, start_node, point)


async def live(control: Control, start_node: Start, point: str, **settings: Any) -> None:
    """One life of a workspace, with a death of the node in it."""
    node = start_node(module="stead.testing.nodeprogram", arguments=("--kill-at", point), **settings)
    watched = anyio.Event()

    async def restart_when_killed() -> None:
        assert node.process is not None
        code = await anyio.to_thread.run_sync(node.process.wait, PATIENCE)
        assert code == -9
        await control.until(lambda: control.peer is None, "the link is gone")
        node.start()
        watched.set()

    wanted = spec()
    async with anyio.create_task_group() as group:
        group.start_soon(restart_when_killed)
        for kind, state in (("start", "running"), ("stop", "stopped"), ("delete", "absent")):
            command = control.command(kind, wanted)
            await control.deliver_patiently(command)
            result = await control.result(command)
            assert result.outcome == "completed", (kind, result.error)
            assert result.report is not None
            assert result.report.state == state
        await watched.wait()
    assert list(node.workspaces.iterdir()) == []
    assert len(control.hellos) == 2
    for results in control.results.values():
        assert {result.outcome for result in results} == {"completed"}
