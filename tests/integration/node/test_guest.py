"""Calls and streams through a real node to a real guest, over kills of the guest, of the node, and cuts of the link."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from integration.node.conftest import NodeProgram
from integration.node.control import Control, new_id, spec
from stead.model.ids import Kind
from stead.protocol.errors import SteadError
from stead.toolbox.contract import Exec

pytestmark = pytest.mark.anyio
Start = Callable[..., NodeProgram]

COUNT = 20_000
PRINTS = f"i=0; while [ $i -lt {COUNT} ]; do i=$((i+1)); echo line $i; done"
EXPECTED = "".join(f"line {number}\n" for number in range(1, COUNT + 1)).encode()


async def started(control: Control, **more: Any) -> str:
    wanted = spec(**more)
    result = await control.do("start", wanted)
    assert result.outcome == "completed", result.error
    return wanted.workspace_id


async def run(control: Control, workspace_id: str, line: str, **more: Any) -> Any:
    return await control.call(workspace_id, "exec.run", argv=[line], shell=True, **more)


def state_of(node: NodeProgram, workspace_id: str) -> dict[str, Any]:
    return dict(json.loads((node.workspaces / workspace_id / "run" / "holder.json").read_bytes()))


def holder_of(node: NodeProgram, workspace_id: str) -> int:
    """The holder's pid, as the machine sees it."""
    return int(json.loads((node.workspaces / workspace_id / "meta.json").read_bytes())["holder"]["pid"])


async def all_of(stream: Any) -> bytes:
    data = b""
    while (piece := await stream.receive()) is not None:
        data += piece
    return data


def stdout_of(data: bytes) -> bytes:
    """The bytes of the records `channel u8 | length u32 | bytes` of channel 1."""
    out, at = b"", 0
    while at < len(data):
        channel, length = data[at], int.from_bytes(data[at + 1 : at + 5], "big")
        out += data[at + 5 : at + 5 + length] if channel == 1 else b""
        at += 5 + length
    return out


@pytest.mark.parametrize("isolation", ["none", pytest.param("namespaces", marks=pytest.mark.needs_engine("bwrap"))])
async def test_calls_reach_the_guest(control: Control, start_node: Start, isolation: str) -> None:
    start_node()
    workspace_id = await started(control, isolation=isolation, environment={"COLOUR": "green"})
    result = await run(control, workspace_id, "echo $COLOUR; echo no >&2; exit 3")
    assert result["status"]["exit_code"] == 3
    info = await control.call(workspace_id, "workspace.info")
    assert (info["workspace_id"], info["isolation"]) == (workspace_id, isolation)
    await control.call(workspace_id, "files.write", path="a", content="aGk=")
    assert (await control.call(workspace_id, "files.read", path="a"))["content"] == "aGk="
    stopped = await control.do("stop", spec(workspace_id))
    assert stopped.outcome == "completed"
    with pytest.raises(SteadError) as caught:
        await control.call(workspace_id, "workspace.info")
    assert caught.value.code == "workspace_not_running"
    again = await control.do("start", spec(workspace_id, generation=2, isolation=isolation))
    assert again.outcome == "completed"
    assert (await control.call(workspace_id, "files.read", path="a"))["content"] == "aGk="


async def test_setup_runs_once_in_order_as_named_steps(control: Control, start_node: Start) -> None:
    start_node()
    lines = ["echo one >> log", "echo two >> log"]
    workspace_id = await started(control, setup=lines)
    steps = [(p.step, p.detail, p.done) for p in control.progress if p.step.startswith("setup")]
    assert steps == [(f"setup {n}/2", lines[n - 1], done) for n in (1, 2) for done in (False, True)]
    result = await control.do("restart", spec(workspace_id, generation=2, setup=lines))
    assert result.outcome == "completed"
    shown = await run(control, workspace_id, "cat log")
    assert shown["stdout"] == "b25lCnR3bwo="


async def test_a_setup_line_that_fails_is_told_and_tried_again(control: Control, start_node: Start) -> None:
    start_node()
    lines = ["echo one >> log", "echo reason >&2; test -e ready"]
    wanted = spec(setup=lines)
    failed = await control.do("start", wanted)
    assert failed.error is not None
    assert failed.error.code == "driver_failed"
    assert "setup 2/2" in failed.error.message
    assert "reason" in failed.error.message
    await run(control, wanted.workspace_id, "touch ready")
    assert (await control.do("start", wanted)).outcome == "completed"
    shown = await run(control, wanted.workspace_id, "cat log")
    assert shown["stdout"] == "b25lCg=="


async def test_a_killed_guest_is_told_and_its_execs_go_on(control: Control, start_node: Start) -> None:
    node = start_node()
    workspace_id = await started(control, isolation="none")
    before = (await control.call(workspace_id, "workspace.info"))["boot_id"]
    background = new_id(Kind.EXEC)
    params = Exec(argv=["sleep 1; echo done > file; sleep 600"], shell=True, exec_id=background, background=True)
    stream = await control.ends.open(workspace_id, "exec", params)
    os.kill(state_of(node, workspace_id)["guest_pid"], signal.SIGKILL)
    info = await control.call(workspace_id, "workspace.info")
    assert info["boot_id"] != before
    change = await control.until(
        lambda: [c for c in control.changes if c.guest_boot_id == info["boot_id"]], "the new guest is told"
    )
    assert (change[0].state, change[0].guest_restarts) == ("running", 1)
    waited = await run(control, workspace_id, "until test -e file; do sleep 0.05; done; cat file")
    assert waited["stdout"] == "ZG9uZQo="
    shown = await control.call(workspace_id, "exec.show", exec_id=background)
    assert shown["state"] == "running"
    assert state_of(node, workspace_id)["guest_restarts"] == 1
    with pytest.raises(SteadError) as caught:
        await all_of(stream)
    assert caught.value.code == "stream_unknown"


async def test_a_stream_survives_cuts_of_the_link(control: Control, start_node: Start) -> None:
    start_node()
    workspace_id = await started(control)
    stream = await control.ends.open(workspace_id, "exec", Exec(argv=[PRINTS], shell=True, exec_id=new_id(Kind.EXEC)))
    data = b""
    cuts = [20_000, 60_000, 100_000]
    while (piece := await stream.receive()) is not None:
        data += piece
        if cuts and len(data) > cuts[0]:
            cuts.pop(0)
            await control.cut()
    assert cuts == []
    assert stdout_of(data) == EXPECTED
    assert stream.result["exit_code"] == 0


async def test_a_stream_survives_a_killed_node(control: Control, start_node: Start) -> None:
    node = start_node()
    workspace_id = await started(control)
    params = Exec(argv=["echo first; read word; echo got $word"], shell=True, exec_id=new_id(Kind.EXEC), stdin=True)
    stream = await control.ends.open(workspace_id, "exec", params)
    data = await stream.receive() or b""
    assert stdout_of(data) == b"first\n"
    node.kill()
    node.start()
    with anyio.fail_after(60):
        await stream.send(b"hello\n")
        while (piece := await stream.receive()) is not None:
            data += piece
    assert stdout_of(data) == b"first\ngot hello\n"


async def test_a_guest_that_never_answers_is_unreachable_not_a_hang(control: Control, start_node: Start) -> None:
    node = start_node()
    workspace_id = await started(control)
    os.kill(holder_of(node, workspace_id), signal.SIGKILL)
    await control.until(lambda: [c for c in control.changes if c.state == "failed"], "the end is told")
    with pytest.raises(SteadError) as caught:
        await control.call(workspace_id, "workspace.info")
    assert caught.value.code == "workspace_unreachable"
    assert node.process is not None
    assert node.process.poll() is None


async def test_an_end_that_was_not_heard_is_told_again(control: Control, start_node: Start) -> None:
    node = start_node()
    workspace_id = await started(control)
    control.busy = 2
    os.kill(holder_of(node, workspace_id), signal.SIGKILL)
    await control.until(lambda: [c for c in control.changes if c.state == "failed"], "the end is told")
    assert [change.state for change in control.unheard] == ["failed", "failed"]


async def test_scripted_workspaces_answer_too(control: Control, start_node: Start) -> None:
    start_node(drivers=["scripted"])
    workspace_id = await started(control, driver="scripted")
    info = await control.call(workspace_id, "workspace.info")
    assert info["workspace_id"] == workspace_id
    assert (await control.do("delete", spec(workspace_id, "scripted"))).outcome == "completed"
