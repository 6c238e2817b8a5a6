"""What was read already comes first, however little is asked for, and once."""

from pathlib import Path

import anyio
import pytest

from stead.transport import unix
from stead.transport.begun import Begun
from stead.transport.sockets import TransportBytes
from support.deadline import PATIENCE

pytestmark = pytest.mark.anyio


async def test_what_came_is_read_first_and_the_rest_is_the_connections(tmp_path: Path) -> None:
    async def echo(stream: TransportBytes) -> None:
        while data := await stream.read(100):
            await stream.write(data)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            await group.start(unix.serve, tmp_path / "s", echo)
            begun = Begun(await unix.connect(tmp_path / "s"), b"before")
            await begun.write(b"after")
            assert [await begun.read(4), await begun.read(4), await begun.read(100)] == [b"befo", b"re", b"after"]
            await begun.close()
            assert await begun.read(100) == b""
            group.cancel_scope.cancel()
