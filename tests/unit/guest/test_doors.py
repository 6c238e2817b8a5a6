"""A door whose connection fails by a mistake of ours."""

import os
import tty
from typing import Any, cast

import anyio
import pytest

from stead.guest.doors import attend
from stead.guest.limiter import Limiter
from stead.guest.orders import Door
from stead.guest.rpc import Rpc
from stead.protocol.connections import Bytes
from support.deadline import PATIENCE

pytestmark = pytest.mark.anyio


async def test_a_mistake_costs_the_connection_and_not_the_guest(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    visits: list[Bytes] = []
    served = anyio.Event()

    async def connected(connection: Bytes) -> None:
        visits.append(connection)
        if len(visits) == 1:
            raise ZeroDivisionError
        served.set()
        await anyio.sleep_forever()

    door = Door(kind="device", where=os.ttyname(theirs))
    toolbox = cast("Any", None)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(attend, door, toolbox, connected, lambda: Rpc({}), 0.01, Limiter())
            await served.wait()
            group.cancel_scope.cancel()
    heard = b""
    while heard.count(b"agent_ready") < 2:
        heard += os.read(ours, 1 << 12)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
    os.close(ours)
    os.close(theirs)
