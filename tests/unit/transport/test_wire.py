"""The data phase of a WebSocket: frames cut anywhere, violations, and both sides against another implementation."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from stead.protocol.errors import SteadError
from stead.transport.wire import READ_BYTES, WRITE_BYTES, Incoming, ViolationError, Wire
from support.deadline import eventually_async

LIMIT = 100_000
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from((1, 2, 9, 10)), st.integers(0, 125) | st.sampled_from((126, 127, 65_535, 65_536, 70_000))
    ),
    max_size=6,
)


def frame(opcode: int, data: bytes, *, masked: bool, fin: bool = True) -> bytes:
    """As the other implementation makes it."""
    return Frame(Opcode(opcode), data, fin).serialize(mask=masked)


def read(data: bytes, cuts: list[int], masked: bool) -> list[tuple[int, bytes]]:
    """What comes of these bytes when they arrive in pieces."""
    found: list[tuple[int, bytes]] = []
    incoming = Incoming(masked=masked, limit=LIMIT, deliver=lambda opcode, payload: found.append((opcode, payload)))
    at = 0
    for size in [*cuts, len(data)]:
        if piece := data[at : at + size]:
            incoming.feed(piece)
        at += size
    return found


@given(MESSAGES, st.lists(st.integers(1, 40) | st.integers(1, 80_000), max_size=30), st.booleans())
def test_messages_arrive_whole_wherever_the_bytes_are_cut(
    messages: list[tuple[int, int]], cuts: list[int], masked: bool
) -> None:
    sent = [(opcode, bytes(number % 251 for number in range(min(size, 125 if opcode > 8 else size))))
            for opcode, size in messages]  # fmt: skip
    data = b"".join(frame(opcode, payload, masked=masked) for opcode, payload in sent)
    assert read(data, cuts, masked) == sent


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6), st.lists(st.integers(1, 20), max_size=40))
def test_a_message_in_several_frames_is_one_message_also_with_a_ping_in_between(
    parts: list[bytes], cuts: list[int]
) -> None:
    frames = [
        frame(0 if number else 2, part, masked=True, fin=number == len(parts) - 1) for number, part in enumerate(parts)
    ]
    ping = frame(9, b"there?", masked=True)
    found = read(ping.join(frames), cuts, True)
    assert [payload for opcode, payload in found if opcode == 2] == [b"".join(parts)]
    assert [payload for opcode, payload in found if opcode == 9] == [b"there?"] * (len(parts) - 1)


@pytest.mark.parametrize(
    "data,code",
    [
        (frame(2, b"x", masked=False), 1002),
        (b"\xc2\x81abcdx", 1002),
        (b"\x83\x81abcdx", 1002),
        (b"\x89\xfe\x00\x7eabcd", 1002),
        (b"\x09\x81abcdx", 1002),
        (frame(0, b"x", masked=True), 1002),
        (frame(1, b"x", masked=True, fin=False) + frame(1, b"y", masked=True), 1002),
        (frame(2, bytes(LIMIT + 1), masked=True)[:14], 1009),
        (frame(2, bytes(LIMIT), masked=True, fin=False) + frame(0, b"x", masked=True), 1009),
        (b"\x82\xff" + b"\xff" * 8 + b"abcd", 1009),
    ],
)
def test_what_is_not_allowed_is_refused_before_its_payload_is_there(data: bytes, code: int) -> None:
    for cuts in ([], [1] * len(data)):
        with pytest.raises(ViolationError) as caught:
            read(data, cuts, True)
        assert caught.value.code == code


# --- connections


class Other:
    """The other side: another implementation over a plain socket."""

    def __init__(self, protocol: Any, end: socket.socket) -> None:
        self.protocol = protocol
        self.end = end

    async def write(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                await anyio.to_thread.run_sync(self.end.sendall, data)
            else:
                self.end.shutdown(socket.SHUT_WR)

    async def read(self) -> list[Frame]:
        """The next frames; empty at the end."""
        while not (events := self.protocol.events_received()):
            data = await anyio.to_thread.run_sync(self.end.recv, 1 << 16)
            if not data:
                return []
            self.protocol.receive_data(data)
        await self.write()
        return [event for event in events if isinstance(event, Frame)]


@asynccontextmanager
async def joined(client: bool, limit: int = LIMIT) -> AsyncIterator[tuple[Wire, Other]]:
    """A wire and the other implementation, after a handshake that both take for granted."""
    import asyncio

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    wire = Wire(transport, client=client, limit=limit)
    protocol = (
        ServerProtocol(max_size=None, state=State.OPEN)
        if client
        else ClientProtocol(parse_uri("ws://x/"), max_size=None, state=State.OPEN)
    )
    try:
        with anyio.fail_after(30):
            yield wire, Other(protocol, theirs)
    finally:
        theirs.close()
        await wire.close()


sides = pytest.mark.parametrize("client", [True, False])
pytestmark = pytest.mark.anyio


@sides
async def test_both_sides_understand_another_implementation(client: bool) -> None:
    async with joined(client) as (wire, other):
        for text in ("", "é", "x" * 70_000):
            wire.put([text, text.encode()])
            got: list[Frame] = []
            while len(got) < 2:
                got += await other.read()
            assert [(each.opcode, bytes(each.data)) for each in got] == [(1, text.encode()), (2, text.encode())]
            other.protocol.send_text(text.encode())
            other.protocol.send_binary(text.encode())
            await other.write()
            assert [await wire.receive(), await wire.receive()] == [text, text.encode()]


@sides
async def test_a_ping_is_answered(client: bool) -> None:
    async with joined(client) as (wire, other):
        other.protocol.send_ping(b"there?")
        await other.write()
        (pong,) = await other.read()
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"there?")
        assert wire.ready()


@sides
async def test_the_other_side_closes_and_what_came_before_is_still_received(client: bool) -> None:
    async with joined(client) as (wire, other):
        other.protocol.send_text(b"last")
        other.protocol.send_close(4000, "bye")
        await other.write()
        (answer,) = await other.read()
        assert (answer.opcode, bytes(answer.data)) == (Opcode.CLOSE, (4000).to_bytes(2))
        other.end.close()
        assert [await wire.receive(), await wire.receive()] == ["last", None]
        assert wire.close_code == 4000
        with pytest.raises(SteadError) as caught:
            await wire.send("late")
        assert caught.value.code == "unavailable"


@sides
@pytest.mark.parametrize("data,code", [((1005).to_bytes(2), 1002), ((999).to_bytes(2), 1002), (b"\x03\xe8\xff", 1007)])
async def test_a_goodbye_that_may_not_be_is_not_echoed(client: bool, data: bytes, code: int) -> None:
    async with joined(client) as (wire, other):
        await anyio.to_thread.run_sync(other.end.sendall, frame(8, data, masked=not client))
        (said,) = await other.read()
        assert (said.opcode, bytes(said.data[:2])) == (Opcode.CLOSE, code.to_bytes(2))
        assert await wire.receive() is None


@sides
async def test_this_side_closes_and_waits_for_the_answer(client: bool) -> None:
    async with joined(client) as (wire, other), anyio.create_task_group() as group:
        group.start_soon(wire.close, 4401, "é" * 100)
        (said,) = await other.read()
        assert (said.opcode, bytes(said.data[:2])) == (Opcode.CLOSE, (4401).to_bytes(2))
        assert bytes(said.data[2:]).decode() == "é" * 61
        await anyio.to_thread.run_sync(other.end.recv, 1) if not client else other.end.close()


def too_large(other: Other) -> None:
    other.protocol.send_binary(bytes(LIMIT + 1))


def not_utf8(other: Other) -> None:
    other.protocol.send_text(b"\xff")


@sides
@pytest.mark.parametrize("act,code,error", [(too_large, 1009, "too_large"), (not_utf8, 1007, "")])
async def test_a_violation_closes_with_its_code(
    client: bool, act: Callable[[Other], None], code: int, error: str
) -> None:
    async with joined(client) as (wire, other):
        act(other)
        await other.write()
        (said,) = await other.read()
        assert (said.opcode, bytes(said.data[:2])) == (Opcode.CLOSE, code.to_bytes(2))
        if error:
            with pytest.raises(SteadError) as caught:
                await wire.receive()
            assert caught.value.code == error
        else:
            assert await wire.receive() is None


async def test_a_side_that_nobody_reads_holds_little_and_goes_on() -> None:
    async with joined(False) as (wire, other):
        other.end.setblocking(False)
        for _ in range(200):
            other.protocol.send_binary(bytes(LIMIT))
        (data,) = [b"".join(other.protocol.data_to_send())]
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while sent < len(data):
                try:
                    sent += other.end.send(data[sent : sent + (1 << 16)])
                except BlockingIOError:
                    await anyio.wait_writable(other.end)

        async with anyio.create_task_group() as group:
            group.start_soon(flood)
            await eventually_async(lambda: wire._paused, "it reads no more")
            assert wire._held < READ_BYTES + 2 * LIMIT + (256 << 10)
            for _ in range(200):
                assert await wire.receive() == bytes(LIMIT)


@sides
async def test_who_floods_with_pings_and_reads_nothing_fills_nothing(client: bool) -> None:
    async with joined(client) as (wire, other):
        while wire.ready():
            wire.put([bytes(LIMIT)])
        waiting = wire._transport.get_write_buffer_size()
        for number in range(5000):
            other.protocol.send_ping(b"%d" % number)
        await other.write()
        await eventually_async(lambda: wire._pong == b"4999", "the last ping came")
        assert wire._transport.get_write_buffer_size() == waiting <= WRITE_BYTES + 2 * LIMIT
        pongs: list[bytes] = []
        while not pongs:
            pongs = [bytes(each.data) for each in await other.read() if each.opcode == Opcode.PONG]
        assert pongs == [b"4999"]
