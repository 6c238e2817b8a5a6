"""What a node's settings say is what the node does."""

import base64
import contextlib
import json
import sqlite3
from collections.abc import Callable

import anyio
import anyio.abc
import pytest

from integration.node.conftest import NodeProgram
from integration.node.control import Control, spec
from support.deadline import eventually_async
from unit.drivers.holder import HOLDER

pytestmark = pytest.mark.anyio
Start = Callable[..., NodeProgram]


async def test_variables_that_every_workspace_gets(control: Control, start_node: Start) -> None:
    start_node(**{"environment.COLOUR": "green", "environment.SHAPE": "round"})
    wanted = spec(environment={"SHAPE": "square"})
    assert (await control.do("start", wanted)).outcome == "completed"
    result = await control.call(wanted.workspace_id, "exec.run", argv=["echo $COLOUR $SHAPE"], shell=True)
    assert base64.b64decode(result["stdout"]) == b"green square\n"
    assert (await control.do("delete", wanted)).outcome == "completed"


async def test_the_longest_start(control: Control, start_node: Start) -> None:
    start_node(drivers=["scripted"], start_seconds=0.2)
    script = json.dumps({"never_ready": True})
    result = await control.do("start", spec(driver="scripted", environment={"STEAD_SCRIPT": script}))
    assert result.outcome == "failed"
    assert result.error is not None
    assert result.error.code == "timeout"


async def test_the_most_workspaces(control: Control, start_node: Start) -> None:
    start_node(max_workspaces=1, **{"options.process.holder": list(HOLDER)})
    first, second = spec(), spec()
    assert (await control.do("start", first)).outcome == "completed"
    refused = await control.do("start", second)
    assert refused.outcome == "failed"
    assert refused.error is not None
    assert refused.error.code == "too_many"
    assert (await control.do("stop", first)).outcome == "completed"
    assert (await control.do("delete", first)).outcome == "completed"
    assert (await control.do("start", second)).outcome == "completed"
    assert control.hellos[0].max_workspaces == 1


async def test_the_life_of_ended_commands(control: Control, start_node: Start) -> None:
    node = start_node(drivers=["scripted"])
    assert (await control.do("start", wanted := spec(driver="scripted"))).outcome == "completed"
    assert (await control.do("delete", wanted)).outcome == "completed"
    assert await anyio.to_thread.run_sync(node.terminate) == 0
    assert remembered(node, "reported") == 2
    node.configure(drivers=["scripted"], keep_days=1e-9)
    node.start()
    await eventually_async(lambda: remembered(node) == 0, "ended commands are forgotten")


@pytest.mark.parametrize("enrolled", [True, False])
async def test_the_longest_pause_between_tries_to_connect(control: Control, start_node: Start, enrolled: bool) -> None:
    tries = 0

    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        nonlocal tries
        tries += 1
        await stream.aclose()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, hang_up)
        nobody = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        given = {"url": nobody, "reconnect_seconds": 0.1}
        if enrolled:
            node = start_node(drivers=["scripted"])
            await control.connected()
            assert await anyio.to_thread.run_sync(node.terminate) == 0
            node.configure(drivers=["scripted"], **given)
            node.start()
        else:
            start_node(drivers=["scripted"], **given)
        await eventually_async(lambda: tries >= 20, "more tries than doubling pauses would leave time for")
        group.cancel_scope.cancel()


def remembered(node: NodeProgram, phase: str = "%") -> int:
    """How many commands are in the node's journal."""
    with contextlib.closing(sqlite3.connect(node.folder / "data" / "node" / "journal.sqlite", timeout=30)) as journal:
        return int(journal.execute("SELECT count(*) FROM commands WHERE phase LIKE ?", (phase,)).fetchone()[0])
