"""Asking a guest for the framed link, with guests that answer otherwise."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import msgspec
import pytest

from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.protocol.version import PROTOCOL
from stead.transport import unix
from stead.transport.framed import Framed
from stead.transport.sockets import TransportBytes
from stead.transport.upgrade import upgrade
from support.deadline import PATIENCE

pytestmark = pytest.mark.anyio

GRANTED = b'{"jsonrpc":"2.0","id":"stead-upgrade","result":{"protocol":"1.0","boot_id":"b"}}\n'
READY = b'{"jsonrpc":"2.0","method":"agent_ready","params":{"version":"1","platform":"linux"}}\n'
UNKNOWN = b'{"jsonrpc":"2.0","id":"stead-upgrade","error":{"code":-32601,"message":"no method"}}\n'
REFUSED = b'{"jsonrpc":"2.0","id":"stead-upgrade","error":{"code":-32600,"message":"not now"}}\n'


@asynccontextmanager
async def _pair() -> AsyncIterator[tuple[TransportBytes, TransportBytes]]:
    ours, theirs = socket.socketpair()
    pair = await unix.over(ours), await unix.over(theirs)
    with anyio.fail_after(PATIENCE):
        yield pair
    for each in pair:
        await each.close()


async def test_it_asks_for_what_it_speaks() -> None:
    async with _pair() as (ours, guest):
        await guest.write(GRANTED)
        await upgrade(ours)
        request = msgspec.json.decode(await guest.read(1 << 16))
        assert (request["method"], request["params"]) == (wire.UPGRADE, {"protocol": PROTOCOL})


@pytest.mark.parametrize("before", [b"", b'the rest of a line"}\n', b"\xff\n[]\n1\n", b'{"id":1}\n{"id":["x"]}\n'])
async def test_what_is_no_answer_is_passed_over_and_what_follows_it_is_kept(before: bytes) -> None:
    async with _pair() as (ours, guest):
        await guest.write(GRANTED)
        await Framed(guest).send("hello")
        framed = await upgrade(ours, before)
        assert await framed.receive() == "hello"


async def test_an_answer_in_pieces() -> None:
    async with _pair() as (ours, guest), anyio.create_task_group() as group:

        async def tell() -> None:
            for byte in GRANTED:
                await guest.write(bytes([byte]))
                await anyio.lowlevel.checkpoint()
            await Framed(guest).send("hello")

        group.start_soon(tell)
        assert await (await upgrade(ours)).receive() == "hello"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (REFUSED, "not now"),
        (READY, "began anew"),
        (READY + GRANTED, "began anew"),
        (b"", "hung up"),
        (b"nonsense\n", "hung up"),
        (b"x" * 70_000, "no line"),
    ],
)
async def test_a_guest_that_does_not_grant_it(said: bytes, words: str) -> None:
    async with _pair() as (ours, guest):
        await guest.write(said)
        await guest.close()
        with pytest.raises(SteadError, match=words) as caught:
            await upgrade(ours)
        assert caught.value.code == "unavailable"


async def test_a_guest_that_knows_no_link() -> None:
    async with _pair() as (ours, guest):
        await guest.write(UNKNOWN)
        with pytest.raises(SteadError, match="no framed link: no method") as caught:
            await upgrade(ours)
        assert caught.value.code == "method_not_found"
