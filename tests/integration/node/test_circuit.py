"""A guest that dies again and again is left alone for a while, says so, and is found again."""

import os
import signal
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from integration.node.conftest import NodeProgram
from integration.node.control import Control, spec
from integration.node.test_guest import started, state_of
from stead.protocol.errors import SteadError
from stead.transport.breaker import FAILURES
from support.deadline import eventually, eventually_async

pytestmark = pytest.mark.anyio

Start = Callable[..., NodeProgram]


def silent(control: Control) -> list[Any]:
    """What was told of guests that are left alone."""
    return [c for c in control.changes if c.error is not None and c.error.code == "workspace_unreachable"]


async def test_a_guest_that_is_killed_again_and_again(control: Control, start_node: Start) -> None:
    node = start_node()
    workspace_id = await started(control, isolation="none")
    for number in range(FAILURES):
        await control.call(workspace_id, "workspace.info")
        os.kill(state_of(node, workspace_id)["guest_pid"], signal.SIGKILL)
        eventually(lambda number=number: state_of(node, workspace_id)["guest_restarts"] > number, "a new guest")
    told = await control.until(lambda: silent(control), "the silence is told")
    assert told[0].state == "running"
    assert "left alone since" in told[0].error.message
    with pytest.raises(SteadError) as caught:
        await control.call(workspace_id, "files.write", path="f", content="")
    assert caught.value.code == "workspace_unreachable"
    assert "left alone since" in caught.value.message
    changes = len(control.changes)
    await control.until(lambda: [c for c in control.changes[changes:] if c.error is None], "the probe found it")
    assert (await control.call(workspace_id, "workspace.info"))["guest_restarts"] == FAILURES


async def test_a_call_whose_guest_is_lost_has_an_unknown_outcome(control: Control, start_node: Start) -> None:
    node = start_node()
    workspace_id = await started(control, isolation="none")

    async def killed() -> None:
        while not (await control.call(workspace_id, "exec.list"))["execs"]:
            await anyio.sleep(0.02)
        os.kill(state_of(node, workspace_id)["guest_pid"], signal.SIGKILL)

    async with anyio.create_task_group() as group:
        group.start_soon(killed)
        with pytest.raises(SteadError) as caught:
            await control.call(workspace_id, "exec.run", argv=["sleep", "600"])
    assert caught.value.code == "outcome_unknown"
    assert "exec.run" in caught.value.message


async def test_a_new_start_is_not_held_against_a_guest(control: Control, start_node: Start) -> None:
    start_node()
    workspace_id = await started(control, isolation="none")
    for generation in range(2, FAILURES + 3):
        await control.call(workspace_id, "workspace.info")
        await control.do("restart", spec(workspace_id, generation=generation))
    await control.call(workspace_id, "workspace.info")
    assert not silent(control)


async def test_an_opening_has_no_more_time_at_a_node_than_its_opener_gave(control: Control, start_node: Start) -> None:
    node = start_node()
    workspace_id = await started(control, isolation="none")
    await control.call(workspace_id, "workspace.info")
    guest = state_of(node, workspace_id)["guest_pid"]
    os.kill(guest, signal.SIGSTOP)
    try:
        with pytest.raises(SteadError, match=r"did not answer within 3\.\d") as caught:
            await control.ends.open(workspace_id, "exec", {"argv": ["sleep", "600"]}, timeout=0.5)
    finally:
        os.kill(guest, signal.SIGCONT)
    assert caught.value.code == "timeout"

    async def none_runs() -> bool:
        execs = (await control.call(workspace_id, "exec.list"))["execs"]
        return all(each["state"] != "running" for each in execs)

    await eventually_async(none_runs, "its opener had given up")
