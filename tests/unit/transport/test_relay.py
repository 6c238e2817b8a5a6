"""Relays: a client, a relay (or two), a guest; slow viewers, lost frames, links that end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame, FrameKind
from stead.protocol.link import QUEUE_BYTES
from stead.protocol.messages import Message, Request, StreamLost, StreamOpen, StreamResume
from stead.transport import memory
from stead.transport.peer import Peer
from stead.transport.relay import STREAMS, Relay
from stead.transport.streams import StreamEnds
from support.deadline import eventually_async
from unit.transport.parts import PATIENCE, PATTERN, Client, Late, Server, read_all

pytestmark = pytest.mark.anyio


class Middle:
    """A relaying program: openers on one side, one far link on the other."""

    def __init__(self) -> None:
        self.far: Peer | None = None
        self.relays: dict[Peer, Relay] = {}

    async def request(self, peer: Peer, message: Request) -> Any:
        assert isinstance(message, StreamOpen | StreamResume)
        if self.far is None or self.far.closed.is_set():
            raise SteadError("node_unreachable", "not connected")
        far_id = f"far-{peer.name}-{message.stream_id}"
        self.relay(peer).bind(message.stream_id, self.far, far_id, message.workspace_id)
        message.stream_id = far_id
        return await self.far.relay(message)

    async def notice(self, peer: Peer, message: Message) -> None:
        self.relay(peer).notice(peer, message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        self.relay(peer).frame(peer, frame)

    async def closed(self, peer: Peer, reason: str) -> None:
        self.relays.pop(peer, Relay(peer)).closed()

    def relay(self, peer: Peer) -> Relay:
        return self.relays.setdefault(peer, Relay(peer))


class Chain:
    """A running client, middle and server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.middle = Middle()
        self.names = 0

    async def join(self, client: Client) -> memory.MemoryEnd:
        """Links a client to the middle."""
        ends = memory.pair()
        one = Peer(ends[0], client, name="client")
        self.names += 1
        self.run(one)
        self.run(Peer(ends[1], self.middle, name="near"))
        client.ends.attach(one)
        return ends[0]

    def join_far(self) -> memory.MemoryEnd:
        """Links the middle to the server."""
        ends = memory.pair()
        self.middle.far = Peer(ends[0], self.middle, name="far")
        self.run(self.middle.far)
        self.run(Peer(ends[1], self.server, name="guest"))
        return ends[0]

    def run(self, peer: Peer) -> None:
        self.server.group.start_soon(peer.run)


@asynccontextmanager
async def chain(ends: StreamEnds | None = None) -> AsyncIterator[Chain]:
    with anyio.fail_after(PATIENCE):
        async with Server(ends).running() as server:
            it = Chain(server)
            it.join_far()
            yield it


async def test_streams_pass_with_ids_swapped_and_are_forgotten_afterwards() -> None:
    client = Client()
    async with chain() as it:
        await it.join(client)
        stream = await client.ends.open("ws_1", "echo")
        await stream.send(PATTERN * 3)
        await stream.end()
        assert await read_all(stream) == PATTERN * 3
        assert it.server.streams[0].id == f"far-near-{stream.id}"
        await stream.closed.wait()
        await eventually_async(lambda: len(it.server.ends) == 0, "the guest knows too")


async def test_a_reset_is_forgotten_at_once() -> None:
    client = Client()
    async with chain() as it:
        await it.join(client)
        stream = await client.ends.open("ws_1", "stuck")
        await stream.reset(SteadError("cancelled", "enough"))
        await eventually_async(lambda: it.server.ended == ["cancelled"], "the guest was told")
        assert it.middle.far is not None
        assert not it.middle.far.routes


async def test_a_client_that_reconnects_resumes_through_the_relay() -> None:
    client = Client()
    async with chain() as it:
        end = await it.join(client)
        stream = await client.ends.open("ws_1", "echo")
        got = bytearray()
        cuts = 0
        async with anyio.create_task_group() as group:

            async def write() -> None:
                for _ in range(40):
                    await stream.send(PATTERN)
                await stream.end()

            group.start_soon(write)
            while (data := await stream.receive()) is not None:
                got += data
                if len(got) > 700_000 * (cuts + 1):
                    cuts += 1
                    end.cut()
                    end = await it.join(client)
        assert cuts == 3
        assert bytes(got) == PATTERN * 40


async def test_a_far_link_that_comes_back_is_resumed_by_the_client() -> None:
    client = Client()
    async with chain() as it:
        await it.join(client)
        stream = await client.ends.open("ws_1", "echo")
        await stream.send(b"one")
        assert await stream.receive() == b"one"
        assert it.middle.far is not None
        await it.middle.far.close()
        await stream.send(b"two")
        it.join_far()
        assert await stream.receive() == b"two"
        await stream.end()
        assert await read_all(stream) == b""


async def test_a_client_that_goes_away_detaches_its_streams() -> None:
    client = Client()
    async with chain(StreamEnds(detached=0.05)) as it:
        end = await it.join(client)
        await client.ends.open("ws_1", "stuck")
        end.cut()
        await eventually_async(lambda: it.server.ended == ["stream_reset"], "the guest gave it up")


class Stubborn(memory.MemoryEnd):
    """A viewer that stops reading while told to."""

    def __init__(self) -> None:
        super().__init__(None)
        self.reads = anyio.Event()
        self.reads.set()

    async def receive(self) -> str | bytes | None:
        await self.reads.wait()
        return await super().receive()


async def test_a_slow_viewer_costs_a_bounded_queue_and_nobody_else_waits() -> None:
    """Six streams of one viewer could fill six windows; the relay keeps one mebibyte, drops, and all goes on later."""
    slow, quick = Client(), Client()
    async with chain() as it:
        viewer, ends = Stubborn(), memory.MemoryEnd(None)
        viewer.join(ends)
        ends.join(viewer)
        viewer_peer, near = Peer(viewer, slow, name="client"), Peer(ends, it.middle, name="slow")
        it.run(viewer_peer)
        it.run(near)
        slow.ends.attach(viewer_peer)
        streams = [await slow.ends.open("ws_1", "source", {"size": 2 << 20}) for _ in range(8)]
        viewer.reads = anyio.Event()
        most = 0

        async def drain(stream: Any) -> int:
            return len(await read_all(stream))

        await it.join(quick)
        async with anyio.create_task_group() as group:
            done: list[int] = []

            async def view(stream: Any) -> None:
                done.append(await drain(stream))

            for stream in streams:
                group.start_soon(view, stream)
            for _ in range(10):
                other = await quick.ends.open("ws_1", "source", {"size": 500_000})
                assert await drain(other) == 500_000
                most = max(most, near.waiting)
            assert done == []
            viewer.reads.set()
        assert done == [2 << 20] * 8
        assert QUEUE_BYTES // 2 < most <= QUEUE_BYTES


async def test_dropped_frames_are_told_to_the_opener_once() -> None:
    async with chain() as it:
        mine, theirs = memory.pair()
        near = Peer(theirs, it.middle, name="near")
        it.run(near)
        assert it.middle.far is not None
        relay = it.middle.relay(near)
        relay.bind("st_1", it.middle.far, "st_2", "ws_1")
        for number in range(40):
            it.middle.frame(it.middle.far, Frame(FrameKind.DATA, "st_2", number * 60_000, bytes(60_000)))
        texts, frames = [], 0
        while len(texts) < 2:
            message = await mine.receive()
            if isinstance(message, str):
                texts.append(message)
            elif message is not None:
                frames += 1
                await mine.send(f'{{"type":"link.credit","taken":{frames * 60_000}}}')
            if texts:
                await mine.send('{"type":"link.ping","request_id":"last"}')
        assert "stream.lost" in texts[0]
        assert '"last"' in texts[1]
        assert frames < 40


async def test_frames_and_notices_of_unknown_streams_are_dropped() -> None:
    async with chain() as it:
        assert it.middle.far is not None
        relay = it.middle.relay(it.middle.far)
        relay.frame(it.middle.far, Frame(FrameKind.DATA, "unknown", 0, b"x"))
        assert relay.notice(it.middle.far, StreamLost(stream_id="unknown"))
        relay.unbind("unknown")
        assert len(it.server.ends) == 0


async def test_streams_of_one_link_are_bounded_and_cannot_be_taken_by_another_link() -> None:
    ends = memory.pair()
    handler = Middle()
    near, far = Peer(ends[0], handler, name="near"), Peer(ends[1], handler, name="far")
    relay = Relay(near)
    for number in range(STREAMS):
        relay.bind(f"n{number}", far, f"f{number}")
    with pytest.raises(SteadError) as caught:
        relay.bind("one more", far, "one more")
    assert caught.value.code == "too_many"
    relay.bind("n0", far, "f0")
    assert len(relay.streams()) == STREAMS
    other = Peer(memory.pair()[0], handler, name="other")
    Relay(other).frame(other, Frame(FrameKind.DATA, "n0", 0, b"stolen"))
    assert far.waiting == 0
    relay.closed()
    assert not near.routes
    assert not far.routes


async def test_an_opening_that_was_not_answered_is_over_beyond_the_relay_too() -> None:
    """Its far end is told to wait for the opener, and then that the opener has given up, though it was there only later."""
    client = Client()
    async with Late().running() as server:
        chain = Chain(server)
        chain.join_far()
        await chain.join(client)
        async with anyio.create_task_group() as group:
            group.start_soon(client.ends.open, "ws_1", "stuck")
            await eventually_async(lambda: chain.middle.relays, "the relay has it")
            (relay,) = chain.middle.relays.values()
            await eventually_async(lambda: relay.active() == 1, "it is bound")
            (name,) = [bound.near_id for bound in relay.streams()]
            relay.abandon(name)
            assert relay.active() == 0
            group.cancel_scope.cancel()
        await eventually_async(lambda: not relay.streams(), "the reset was passed on")
        server.go.set()
        stream = await client.ends.open("ws_1", "echo")
        assert [each.kind for each in server.streams] == ["echo"]
        await stream.reset(SteadError("cancelled", "enough"))


async def test_a_stream_that_was_abandoned_and_is_opened_again_is_kept() -> None:
    chain = Chain(Server())
    near, far = (Peer(memory.pair()[0], chain.middle, name=name) for name in ("near", "far"))
    relay = Relay(near)
    relay.bind("st_1", far, "far-1", "ws_1")
    relay.abandon("st_1")
    assert relay.active() == 0
    relay.bind("st_1", far, "far-1", "ws_1")
    assert relay.active() == 1
    assert near.routes["st_1"]._linger is None
    relay.unbind("st_1")


async def test_a_stream_that_its_opener_reset_is_not_bound() -> None:
    chain = Chain(Server())
    near, far = (Peer(memory.pair()[0], chain.middle, name=name) for name in ("near", "far"))
    relay = Relay(near)
    relay.frame(near, Frame(FrameKind.RESET, "st_1", 0, b""))
    with pytest.raises(SteadError) as caught:
        relay.bind("st_1", far, "far-1", "ws_1")
    assert caught.value.code == "cancelled"
    assert relay.active() == 0
