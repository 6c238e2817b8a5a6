"""What flows out of a workspace as server-sent events: silences, ends, and a workspace that sends what has no end."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import anyio
import pytest

from stead.control.http import sse
from stead.control.http.routes import toolbox
from stead.protocol.errors import SteadError
from stead.transport import memory
from stead.transport.streams import Stream
from support.deadline import PATIENCE, eventually_async
from unit.transport.parts import Client, Server, linked

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _opened(kind: str) -> AsyncIterator[tuple[Stream, Server]]:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
            client.ends.attach(one)
            yield await client.ends.open("ws_1", kind), server


async def test_each_silence_is_told_and_who_leaves_resets_the_stream() -> None:
    async with _opened("stuck") as (stream, server):
        async with aclosing(sse.received(stream, 0.01)) as pieces:
            assert [await anext(pieces), await anext(pieces)] == [None, None]
        await eventually_async(lambda: server.ended, "the other end is told")
        assert server.ended != ["over"]


async def test_pieces_come_to_the_end_of_the_stream() -> None:
    async with _opened("echo") as (stream, _):
        await stream.send(b"one")
        await stream.end()
        assert [piece async for piece in sse.received(stream)] == [b"one"]


async def test_changes_are_lines_however_they_come() -> None:
    async with _opened("echo") as (stream, _):
        await stream.send(b'[{"kind":"made"}]\n[{"ki')
        await stream.send(b'nd":"gone"}]\n[1')
        await stream.end()
        found = [event async for event in toolbox._changes(stream)]
        assert found == [sse.event("changes", b'[{"kind":"made"}]'), sse.event("changes", b'[{"kind":"gone"}]')]


async def test_changes_without_an_end_are_not_kept() -> None:
    async with _opened("echo") as (stream, server), anyio.create_task_group() as group:

        async def flood() -> None:
            piece = bytes(1 << 16)
            with pytest.raises(SteadError):
                while True:
                    await stream.send(piece)

        group.start_soon(flood)
        with pytest.raises(SteadError, match="no end"):
            async for event in toolbox._changes(stream):
                assert event == sse.BEAT
        await eventually_async(lambda: server.ended, "the other end is told")
