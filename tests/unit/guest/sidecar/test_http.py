"""The small server by itself: how long it is patient, and with whom."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from stead.guest.sidecar.http import CONNECTIONS, Event, Events, Handle, Request, Response, Times, serve

pytestmark = pytest.mark.anyio

TOKEN = "the-token-of-these-tests"
HEAD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@asynccontextmanager
async def _served(handle: Handle, times: Times) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A server, and a connection to it."""

    async def listening(*, task_status: anyio.abc.TaskStatus[tuple[str, int]]) -> None:
        await serve("127.0.0.1", 0, handle, TOKEN, times=times, task_status=task_status)

    async with anyio.create_task_group() as group:
        host, port = await group.start(listening)
        reader, writer = await asyncio.open_connection(host, port)
        with anyio.fail_after(30):
            yield reader, writer
        writer.close()
        group.cancel_scope.cancel()


async def _body(request: Request) -> Response:
    return Response(200, b"".join([piece async for piece in request.stream()]))


async def test_who_asks_for_nothing_is_hung_up_on() -> None:
    async with _served(_body, Times(idle=0.2)) as (reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\n")
        assert await reader.read() == b""


async def test_who_sends_no_more_of_a_body_is_told() -> None:
    async with _served(_body, Times(stalled=0.2)) as (reader, writer):
        writer.write(b"POST /f HTTP/1.1\r\n" + HEAD + b"Content-Length: 9\r\n\r\nhalf")
        assert (await reader.readline()).startswith(b"HTTP/1.1 504")


async def test_who_takes_nothing_is_let_go() -> None:
    taken = anyio.Event()

    async def pieces() -> AsyncGenerator[Event, None]:
        try:
            while True:
                yield Event("more", "x" * 100_000)
        finally:
            taken.set()

    async def handle(request: Request) -> Events:
        return Events(pieces())

    async with _served(handle, Times(stalled=0.2)) as (_, writer):
        writer.write(b"GET /events HTTP/1.1\r\n" + HEAD + b"\r\n")
        await taken.wait()


async def test_an_event_stream_says_that_it_is_alive() -> None:
    async def nothing() -> AsyncGenerator[Event, None]:
        await anyio.sleep_forever()
        yield Event("never", None)

    async def handle(request: Request) -> Events:
        return Events(nothing())

    async with _served(handle, Times(keepalive=0.05)) as (reader, writer):
        writer.write(b"GET /events HTTP/1.1\r\n" + HEAD + b"\r\n")
        for _ in range(3):
            assert await reader.readuntil(b": alive\n\n")


async def test_one_beyond_the_most_is_turned_away_while_all_are_at_work() -> None:
    async def nothing() -> AsyncGenerator[Event, None]:
        await anyio.sleep_forever()
        yield Event("never", None)

    async def handle(request: Request) -> Events:
        return Events(nothing())

    async with _served(handle, Times()) as (reader, writer):
        ends = [(reader, writer)]
        address = writer.get_extra_info("peername")
        while len(ends) < CONNECTIONS:
            ends.append(await asyncio.open_connection(*address))
        for each, to in ends:
            to.write(b"GET /events HTTP/1.1\r\n" + HEAD + b"\r\n")
            assert await each.readuntil(b"\r\n\r\n")
        late, to_late = await asyncio.open_connection(*address)
        assert await late.read() == b""
        for to in (to_late, *(to for _, to in ends[1:])):
            to.close()
