"""The lines of one channel: the upgrade's params, and lines that are begun and not ended."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from stead.guest.channel import Channel
from stead.guest.rpc import Rpc
from stead.protocol import guest as wire
from stead.protocol.version import PROTOCOL
from stead.transport import unix
from stead.transport.sockets import TransportBytes
from support.deadline import PATIENCE

pytestmark = pytest.mark.anyio


async def _pong(params: wire.Nothing) -> wire.Pong:
    return wire.Pong(pong=True, timestamp=0)


class Asker:
    """The other end of a channel."""

    def __init__(self, connection: TransportBytes) -> None:
        self.connection = connection
        self.rest: bytes | None = b"not over"
        self.over = anyio.Event()
        self._buffer = b""

    async def hear(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            piece = await self.connection.read(1 << 16)
            assert piece, "the channel was closed"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, method: str, params: object = None) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 5, "method": method} | ({} if params is None else {"params": params})
        await self.connection.write(json.dumps(request).encode() + b"\n")
        return await self.hear()


@asynccontextmanager
async def _served(patience: float = PATIENCE) -> AsyncIterator[Asker]:
    ours, theirs = socket.socketpair()
    connection = await unix.over(theirs)
    asker = Asker(await unix.over(ours))
    rpc = Rpc({"ping": (wire.Nothing, _pong)})

    async def serve() -> None:
        upgraded = wire.Upgraded(protocol=PROTOCOL, boot_id="b")
        asker.rest = await Channel(connection, rpc, lambda: upgraded, patience).run()
        asker.over.set()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            yield asker
            await asker.connection.close()
            await asker.over.wait()
        await connection.close()


@pytest.mark.parametrize("params", [None, {}, {"protocol": PROTOCOL}, {"protocol": "1.99"}])
async def test_the_upgrade_is_granted_and_what_follows_is_left(params: object) -> None:
    async with _served() as asker:
        assert (await asker.ask(wire.UPGRADE, params))["result"]["boot_id"] == "b"
        await asker.over.wait()
        assert asker.rest == b""


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"unknown": 1}, wire.INVALID_PARAMS),
        ({"protocol": 1}, wire.INVALID_PARAMS),
        ({"protocol": None}, wire.INVALID_PARAMS),
        ({"protocol": "nonsense"}, wire.INVALID_PARAMS),
        ([], wire.INVALID_PARAMS),
        ("1.0", wire.INVALID_PARAMS),
        ({"protocol": "2.0"}, wire.COMMAND_FAILED),
    ],
)
async def test_wrong_params_of_the_upgrade_are_refused_and_the_lines_go_on(params: object, code: int) -> None:
    async with _served() as asker:
        assert (await asker.ask(wire.UPGRADE, params))["error"]["code"] == code
        assert (await asker.ask("ping"))["result"]["pong"] is True
        assert (await asker.ask(wire.UPGRADE))["result"]["boot_id"] == "b"


@pytest.mark.parametrize("begun", [b'{"jsonrpc":"2.0","id":1,"meth', b"x" * 70_000, b"\xff"])
async def test_a_line_of_which_nothing_comes_any_more_is_dropped(begun: bytes) -> None:
    """Else the next request on a port that knows no connections would be the end of it."""
    async with _served(patience=0.05) as asker:
        await asker.connection.write(begun)
        if len(begun) > wire.LINE_BYTES:
            assert (await asker.hear())["error"]["code"] == wire.INVALID_REQUEST
        await anyio.sleep(0.5)
        assert (await asker.ask("ping"))["result"]["pong"] is True


async def test_a_line_that_comes_in_pieces_is_whole_however_slowly() -> None:
    async with _served(patience=PATIENCE) as asker:
        for byte in b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n':
            await asker.connection.write(bytes([byte]))
            await anyio.lowlevel.checkpoint()
        assert (await asker.hear())["result"]["pong"] is True


async def test_the_end_of_the_connection_drops_half_a_line() -> None:
    async with _served() as asker:
        await asker.connection.write(b'{"jsonrpc":"2.0"')
        await asker.connection.close()
        await asker.over.wait()
        assert asker.rest is None


@pytest.mark.parametrize("said", [b"x" * 70_000, b'{"jsonrpc":"2.0","id":1,"method":"link.upgrade"}', b"{"])
async def test_who_is_gone_before_its_answer_is_gone_like_any_other(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    far, near = await unix.over(ours), await unix.over(theirs)
    with anyio.fail_after(PATIENCE):
        await far.write(said + b"\n")
        await far.close()
        while near.ready():
            await anyio.lowlevel.checkpoint()
        assert await Channel(near, Rpc({}), lambda: wire.Upgraded(protocol=PROTOCOL, boot_id="b")).run() is None
    await near.close()


class Port:
    """What has one peer after the other, as a virtio-serial port has."""

    def __init__(self, peers: list[TransportBytes]) -> None:
        self.peers = peers

    async def read(self, limit: int) -> bytes:
        return await self.peers[0].read(limit)

    async def write(self, data: bytes) -> None:
        await self.peers[0].write(data)

    async def again(self) -> bool:
        while len(self.peers) > 1 and not self.peers[0].ready():
            del self.peers[0]
        return self.peers[0].ready()

    async def close(self) -> None:
        for peer in self.peers:
            await peer.close()


async def test_who_comes_at_once_after_another_goes_on_with_its_channel() -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    port = Port([await unix.over(theirs) for _, theirs in pairs])
    first, second = [Asker(await unix.over(ours)) for ours, _ in pairs]
    begun, told = anyio.Event(), anyio.Event()

    async def slow(params: wire.Nothing) -> wire.Pong:
        begun.set()
        await told.wait()
        return wire.Pong(pong=False, timestamp=0)

    rpc = Rpc({"ping": (wire.Nothing, _pong), "get_disk_usage": (wire.Nothing, slow)})
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(Channel(port, rpc, None).run)
            await first.connection.write(b'{"jsonrpc":"2.0","id":1,"method":"get_disk_usage"}\n{"jsonrpc":"2.0","id"')
            await begun.wait()
            await first.connection.close()
            assert (await second.ask("ping"))["result"]["pong"] is True
            told.set()
            assert (await second.hear())["result"]["pong"] is False, "it passes over what it did not ask for"
            await second.connection.close()
    await port.close()


async def test_an_answer_during_the_change_is_for_who_comes() -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    port = Port([await unix.over(theirs) for _, theirs in pairs])
    first, second = [Asker(await unix.over(ours)) for ours, _ in pairs]

    async def slow(params: wire.Nothing) -> wire.Pong:
        await first.connection.close()
        while port.peers[0].ready():
            await anyio.lowlevel.checkpoint()
        return wire.Pong(pong=True, timestamp=0)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(Channel(port, Rpc({"ping": (wire.Nothing, slow)}), None).run)
            await first.connection.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
            assert await second.connection.read(1) == b"\n", "what was written of it before is ended"
            assert (await second.hear())["result"]["pong"] is True
            await second.connection.close()
    await port.close()
