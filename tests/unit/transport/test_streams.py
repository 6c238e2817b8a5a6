"""Ends of streams over links that work, break, lose and come back."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from stead.protocol.errors import SteadError
from stead.protocol.flow import WINDOW
from stead.protocol.frames import Frame, FrameKind
from stead.protocol.messages import Request, StreamOpen
from stead.testing.faults import Faults
from stead.transport import memory
from stead.transport.attempts import CLIENT_GRACE, Deadline, UnansweredError, opened
from stead.transport.peer import Peer
from stead.transport.streams import REMEMBERED, Stream, StreamEnds
from support.deadline import eventually_async
from unit.transport.parts import PATIENCE, PATTERN, Client, Late, Server, linked, read_all

pytestmark = pytest.mark.anyio


async def test_bytes_results_and_answers_go_through() -> None:
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        stream = await client.ends.open("ws_1", "echo", {"any": 1})
        assert stream.opened == {"kind": "echo"}
        await stream.send(b"hello")
        await stream.end()
        assert await read_all(stream) == b"hello"
        assert stream.result == {"bytes": 5}
        await stream.closed.wait()
        await eventually_async(lambda: len(server.ends) == len(client.ends) == 0, "both ends are over")
        assert server.ended == ["over"]


async def test_what_cannot_be_sent_leaves_nothing() -> None:
    ends = StreamEnds()
    with pytest.raises(TypeError):
        await ends.open("ws_1", "echo", {"any": object()})
    assert len(ends) == 0


async def test_an_openers_direction_ends_by_itself_when_the_other_has() -> None:
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        stream = await client.ends.open("ws_1", "source", {"size": 100_000})
        assert len(await read_all(stream)) == 100_000
        await stream.closed.wait()
        with pytest.raises(SteadError):
            await stream.send(b"late")


async def test_megabytes_pass_in_bounded_memory() -> None:
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        stream = await client.ends.open("ws_1", "sink")
        for _ in range(160):
            await stream.send(PATTERN)
        await stream.end()
        assert await read_all(stream) == b""
        assert stream.result == {"bytes": 160 * len(PATTERN)}
        assert one.waiting == 0


async def test_a_consumer_that_stops_stops_its_sender_and_nobody_else() -> None:
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        slow = await client.ends.open("ws_1", "source", {"size": 10 << 20})
        fast = await client.ends.open("ws_1", "source", {"size": 5 << 20})
        assert len(await read_all(fast)) == 5 << 20
        assert slow.received <= WINDOW
        assert len(await read_all(slow)) == 10 << 20


async def test_a_refused_opening_leaves_nothing() -> None:
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        with pytest.raises(SteadError) as caught:
            await client.ends.open("ws_1", "refused")
        assert caught.value.code == "refused"
        assert len(client.ends) == 0


async def test_a_reset_reaches_the_other_end_and_is_remembered() -> None:
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        stream = await client.ends.open("ws_1", "echo")
        await server.streams[0].reset(SteadError("refused", "no more"))
        with pytest.raises(SteadError) as caught:
            await read_all(stream)
        assert (caught.value.code, caught.value.message) == ("refused", "no more")
        with pytest.raises(SteadError):
            await stream.send(b"x")


async def test_leaving_a_stream_unfinished_resets_it() -> None:
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        async with await client.ends.open("ws_1", "source", {"size": 10 << 20}) as stream:
            await stream.receive()
        await eventually_async(lambda: server.ended == ["cancelled"], "the other end was told")
        assert len(client.ends) == 0


async def test_there_is_no_link_in_time() -> None:
    with pytest.raises(SteadError) as caught:
        await StreamEnds().open("ws_1", "echo", timeout=0.01)
    assert caught.value.code == "unavailable"


async def test_an_id_in_use_for_something_else_is_a_conflict() -> None:
    ends = StreamEnds()
    first = ends.accept("st_1", "ws_1", "exec")
    assert ends.accept("st_1", "ws_1", "exec") is first
    assert not first.fresh
    with pytest.raises(SteadError) as caught:
        ends.accept("st_1", "ws_2", "exec")
    assert caught.value.code == "conflict"


async def test_a_crowded_link_is_asked_for_room_once_by_each_stream() -> None:
    ends = StreamEnds()
    peer = Peer(memory.pair()[0], Client(), name="not running yet")
    ends.attach(peer)
    streams = [ends.accept(f"st_{number}", "ws_1", "exec", peer) for number in range(10)]
    for stream in streams:
        with anyio.move_on_after(0.01):
            await stream.send(PATTERN * 8)
    for _ in range(100):
        for stream in streams:
            stream.pump()
    assert len(peer._room) <= len(streams)
    assert peer.waiting <= 1 << 20


class Line:
    """A client and a server whose link is cut and made again."""

    def __init__(self, client: Client, server: Server) -> None:
        self.client = client
        self.server = server
        self.cuts = 0

    async def connect(self, faults: Faults | None = None, back: Faults | None = None) -> memory.MemoryEnd:
        ends = memory.pair(faults, back)
        one, two = Peer(ends[0], self.client, name="one"), Peer(ends[1], self.server, name="two")
        self.server.group.start_soon(one.run)
        self.server.group.start_soon(two.run)
        self.client.ends.attach(one)
        self.one = one
        return ends[0]

    async def cut(self, end: memory.MemoryEnd) -> None:
        self.cuts += 1
        end.cut()
        await self.one.closed.wait()
        await eventually_async(lambda: all(not s.attached for s in self.server.streams), "both sides know", every=0.002)


async def test_streams_go_on_after_cuts_without_a_missing_or_doubled_byte() -> None:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Server().running() as server:
            line = Line(client, server)
            end = await line.connect()
            stream = await client.ends.open("ws_1", "echo")
            got = bytearray()
            async with anyio.create_task_group() as group:

                async def write() -> None:
                    for _ in range(60):
                        await stream.send(PATTERN)
                    await stream.end()

                group.start_soon(write)
                while (data := await stream.receive()) is not None:
                    got += data
                    if len(got) > 500_000 * (line.cuts + 1):
                        await line.cut(end)
                        end = await line.connect()
            assert bytes(got) == PATTERN * 60
            assert stream.result == {"bytes": 60 * len(PATTERN)}
            await stream.closed.wait()
            assert line.cuts == 7


async def test_losing_delaying_and_doubling_links_deliver_everything() -> None:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Server().running() as server:
            line = Line(client, server)
            there, back = (Faults(seed, lose=0.05, double=0.1, delay=0.003) for seed in (1, 2))
            end = await line.connect(there, back)
            stream = await client.ends.open("ws_1", "echo")
            got = bytearray()
            finished = anyio.Event()
            async with anyio.create_task_group() as group:

                async def write() -> None:
                    for _ in range(30):
                        await stream.send(PATTERN)
                    await stream.end()

                async def read() -> None:
                    got.extend(await read_all(stream))
                    finished.set()

                group.start_soon(write)
                group.start_soon(read)
                size = -1
                while not finished.is_set():
                    await anyio.sleep(0.2)
                    if len(got) == size:
                        # A lost last frame is told by nobody: only a new link shows it.
                        await line.cut(end)
                        end = await line.connect(there, back)
                    size = len(got)
            assert bytes(got) == PATTERN * 30
            assert there.lost + back.lost > 3


async def test_an_opening_whose_answer_was_lost_is_asked_again_and_opens_once() -> None:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Server().running() as server:
            line = Line(client, server)
            await line.connect(back=Faults(1, cut_after=0))
            async with anyio.create_task_group() as group:
                opened = []

                async def opens() -> None:
                    opened.append(await client.ends.open("ws_1", "source", {"size": 1000}))

                group.start_soon(opens)
                await line.one.closed.wait()
                await line.connect()
            assert len(server.streams) == 1
            assert len(await read_all(opened[0])) == 1000


async def test_a_stream_the_other_side_does_not_know_ends_so() -> None:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Server().running() as server:
            line = Line(client, server)
            end = await line.connect()
            stream = await client.ends.open("ws_1", "stuck")
            await line.cut(end)
            server.ends.close(SteadError("stream_reset", "the guest ended"))
            server.ends = StreamEnds()
            await line.connect()
            with pytest.raises(SteadError) as caught:
                await stream.receive()
            assert caught.value.code == "stream_unknown"


async def test_an_accepted_stream_that_stays_detached_is_reset() -> None:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Server(StreamEnds(detached=0.05)).running() as server:
            line = Line(client, server)
            end = await line.connect()
            await client.ends.open("ws_1", "stuck")
            end.cut()
            await eventually_async(lambda: server.ended == ["stream_reset"], "it was given up")
            assert len(server.ends) == 0


async def test_a_resume_is_tried_again_while_the_error_passes() -> None:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Server().running() as server:
            line = Line(client, server)
            end = await line.connect()
            stream = await client.ends.open("ws_1", "echo")
            await line.cut(end)
            answers = server.ends.request
            failures = 2

            async def request(peer: Peer, message: object) -> object:
                nonlocal failures
                failures -= 1
                if failures >= 0:
                    raise SteadError("node_unreachable", "not yet")
                return await answers(peer, message)  # type: ignore[arg-type]

            server.ends.request = request  # type: ignore[method-assign]
            await line.connect()
            await stream.send(b"after")
            assert await stream.receive() == b"after"
            await stream.reset(SteadError("cancelled", "done"))


async def test_patience_ends() -> None:
    client = Client(StreamEnds(patience=0.0))
    with anyio.fail_after(PATIENCE):
        async with Server().running() as server:
            line = Line(client, server)
            end = await line.connect()
            stream = await client.ends.open("ws_1", "echo")
            await line.cut(end)

            async def request(peer: Peer, message: object) -> object:
                raise SteadError("node_unreachable", "gone")

            server.ends.request = request  # type: ignore[method-assign]
            await line.connect()
            with pytest.raises(SteadError) as caught:
                await stream.receive()
            assert caught.value.code == "node_unreachable"


async def test_an_opening_that_is_given_up_at_once_never_comes_to_be() -> None:
    """The reset overtakes the work for the request."""
    client = Client()
    async with Server().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        async with anyio.create_task_group() as group:
            group.start_soon(client.ends.open, "ws_1", "stuck")
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        stream = await client.ends.open("ws_1", "echo")
        await eventually_async(lambda: server.ended == ["cancelled"] or len(server.streams) == 1, "it is over")
        assert [each.id for each in server.streams if not each.closed.is_set()] == [stream.id]
        assert len(client.ends) == 1


async def test_an_end_that_was_given_up_before_it_was_there_is_refused() -> None:
    ends, peer = StreamEnds(), Peer(memory.pair()[0], Client(), name="any")
    ends.frame(peer, Frame(FrameKind.RESET, "st_1", 0, b""))
    with pytest.raises(SteadError) as caught:
        ends.accept("st_1", "ws_1", "exec")
    assert caught.value.code == "cancelled"
    for number in range(REMEMBERED):
        ends.frame(peer, Frame(FrameKind.RESET, f"st_1{number}", 0, b""))
    assert ends.accept("st_1", "ws_1", "exec").fresh, "so many are remembered"


class Recording(Server):
    """Keeps how long each opening may take; the first answers are lost with their link."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float] = []

    async def request(self, peer: Peer, message: Request) -> Any:
        if isinstance(message, StreamOpen):
            self.timeouts.append(message.timeout)
        return await super().request(peer, message)


async def test_each_attempt_to_open_says_how_much_time_is_left() -> None:
    client = Client()
    with anyio.fail_after(PATIENCE):
        async with Recording().running() as server:
            line = Line(client, server)
            await line.connect(back=Faults(1, cut_after=0))
            async with anyio.create_task_group() as group:

                async def opens() -> None:
                    await client.ends.open("ws_1", "source", {"size": 1000}, timeout=20.0)

                group.start_soon(opens)
                await line.one.closed.wait()
                await anyio.sleep(0.01)
                await line.connect()
            first, second = server.timeouts
            assert 0 < second < first <= 20.0


async def test_no_time_is_an_error_before_anything_is_asked() -> None:
    client = Client()
    async with Recording().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        late = StreamOpen(request_id="", stream_id="st_1", workspace_id="ws_1", kind="echo")
        with pytest.raises(SteadError, match="no time was left") as caught:
            await opened(late, one, Deadline(1.0, iter([0.0, 2.0]).__next__), grace=CLIENT_GRACE)
        assert caught.value.code == "timeout"
        assert server.timeouts == []


async def test_an_opening_that_is_not_answered_in_time_is_over_on_both_sides() -> None:
    client = Client()
    async with Late().running() as server, linked(memory.pair(), client, server) as (one, _):
        client.ends.attach(one)
        late = StreamOpen(request_id="", stream_id="st_1", workspace_id="ws_1", kind="stuck")
        with pytest.raises(UnansweredError, match=r"within 0\.05") as caught:
            await opened(late, one, Deadline(0.04, lambda: 0.0), grace=0.01)
        assert caught.value.code == "timeout"
        one.post(Frame(FrameKind.RESET, "st_1", 0, b""))
        await eventually_async(lambda: one.waiting == 0, "it was told")
        stream = await _next(client, server.go)
        assert [each.id for each in server.streams] == [stream.id], "nothing was opened for who had gone"


async def _next(client: Client, go: anyio.Event) -> Stream:
    """Another stream, once the first request may go on."""
    go.set()
    return await client.ends.open("ws_1", "echo")
