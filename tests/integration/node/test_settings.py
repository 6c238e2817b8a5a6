"""What a node's settings say is what the node does."""

import base64
import json
from collections.abc import Callable

import pytest

from integration.node.conftest import NodeProgram
from integration.node.control import Control, spec
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
