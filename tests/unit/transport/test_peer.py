"""A peer: asking, answering, order, bounds, liveness, bad input."""

import json
import socket
from typing import Any

import anyio
import pytest

from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame, FrameKind
from stead.protocol.link import OVERHEAD
from stead.protocol.messages import Drain, EventNotice
from stead.transport import memory, unix
from stead.transport.framed import HEADER, Framed
from stead.transport.peer import Limits, Peer
from support.deadline import eventually_async
from unit.transport.parts import Recorder, call, linked

pytestmark = pytest.mark.anyio


async def refusal(peer: Peer, method: str, timeout: float = 30.0) -> SteadError:
    with pytest.raises(SteadError) as caught:
        await peer.request(call(method), timeout)
    return caught.value


async def test_requests_are_answered_in_both_directions() -> None:
    async with linked(memory.pair(), Recorder(), Recorder()) as (one, two):
        assert await one.request(call("echo", {"a": [1, "é"]})) == {"a": [1, "é"]}
        assert await two.request(call("raw", [1])) == [1]
        assert bytes(await one.relay(call("echo", {"b": 2}))) == b'{"b":2}'


async def test_a_request_keeps_the_id_its_caller_gave_it() -> None:
    message = call("echo")
    message.request_id = "mine"
    async with linked(memory.pair(), Recorder(), Recorder()) as (one, _):
        await one.request(message)
    assert message.request_id == "mine"


@pytest.mark.parametrize(
    "method,code", [("refuse", "refused"), ("bug", "internal"), ("huge", "too_large"), ("unsendable", "invalid")]
)
async def test_failures_come_back_typed(method: str, code: str) -> None:
    async with linked(memory.pair(), Recorder(), Recorder()) as (one, _):
        error = await refusal(one, method)
        assert error.code == code
        if method == "refuse":
            assert (error.message, error.details) == ("not here", {"why": "policy"})
        assert await one.request(call("echo", 1)) == 1


async def test_a_request_too_large_to_send_is_refused_here() -> None:
    async with linked(memory.pair(), Recorder(), Recorder()) as (one, _):
        with pytest.raises(SteadError) as caught:
            await one.request(call("echo", "x" * (2 << 20)))
        assert caught.value.code == "too_large"


async def test_no_answer_in_time_is_a_timeout_and_the_link_lives() -> None:
    far = Recorder()
    async with linked(memory.pair(), Recorder(), far) as (one, _):
        assert (await refusal(one, "hold", 0.05)).code == "timeout"
        far.hold.set()
        assert await one.request(call("echo", 1)) == 1


async def test_slow_requests_do_not_hold_up_others_and_are_bounded() -> None:
    far = Recorder()
    async with linked(memory.pair(), Recorder(), far, Limits(requests_in=3)) as (one, _):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one.request, call("hold"))
            await eventually_async(lambda: far.handling == 3, "three are held")
            assert (await refusal(one, "echo")).code == "too_many"
            far.hold.set()
        assert await one.request(call("echo", 1)) == 1
        assert far.most == 3


async def test_requests_that_wait_are_bounded() -> None:
    far = Recorder()
    limits = Limits(requests_out=2)
    async with linked(memory.pair(), Recorder(), far, limits) as (one, _), anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(one.request, call("hold"))
        await eventually_async(lambda: far.handling == 2, "two are held")
        assert (await refusal(one, "echo")).code == "too_many"
        far.hold.set()


async def test_a_lost_link_fails_what_waits_and_ends_what_is_handled() -> None:
    near, far = Recorder(), Recorder()
    ends = memory.pair()
    errors: list[SteadError] = []
    async with linked(ends, near, far) as (one, two):

        async def ask() -> None:
            errors.append(await refusal(one, "hold"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await eventually_async(lambda: far.handling == 1, "it is held")
            ends[0].cut()
        await one.closed.wait()
        await two.closed.wait()
        assert (await refusal(one, "echo")).code == "unavailable"
        with pytest.raises(SteadError):
            await one.send(Drain(draining=True))
        one.tell(Drain(draining=True))
        assert not one.post(Frame(FrameKind.DATA, "s", 0))
    assert [error.code for error in errors] == ["unavailable"]
    assert near.reason
    assert far.reason
    assert far.handling == 0


async def test_messages_without_answer_arrive_in_order() -> None:
    far = Recorder()
    async with linked(memory.pair(), Recorder(), far) as (one, _):
        for number in range(1000):
            await one.send(EventNotice(cursor=str(number), at=0.0, kind="k", subject="s"))
        await one.request(call("echo"))
        await eventually_async(lambda: len(far.notices) == 1000, "all arrived")
    assert [notice.cursor for notice in far.notices] == [str(number) for number in range(1000)]


async def test_goaway_is_known_to_the_other_side() -> None:
    far = Recorder()
    async with linked(memory.pair(), Recorder(), far) as (one, two):
        await one.goaway("upgrade", retry_after=2.0)
        await eventually_async(lambda: far.notices, "it arrived")
        assert two.going_away is not None
        assert (two.going_away.reason, two.going_away.retry_after) == ("upgrade", 2.0)


async def test_frames_arrive_in_order_and_more_than_a_window_passes() -> None:
    far = Recorder()
    total = 100
    async with linked(memory.pair(), Recorder(), far) as (one, _):
        for number in range(total):
            frame = Frame(FrameKind.DATA, "s", number, bytes(60_000))
            await eventually_async(lambda: one.room(60_000), "there is room")
            assert one.post(frame)
        await eventually_async(lambda: len(far.frames) == total, "all arrived")
    assert [frame.seq for frame in far.frames] == list(range(total))


class Stalled:
    """A connection whose other side reads nothing."""

    def __init__(self) -> None:
        self.closed = anyio.Event()
        self.sent: list[str | bytes] = []

    async def receive(self) -> None:
        await self.closed.wait()

    async def send(self, message: str | bytes) -> None:
        self.sent.append(message)
        await self.closed.wait()
        raise SteadError("unavailable", "closed")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed.set()


async def test_a_link_that_does_not_move_keeps_at_most_its_queue() -> None:
    other, far = memory.pair()
    async with linked((Stalled(), other), Recorder(), Recorder(), Limits(queue_bytes=1 << 20)) as (stalled, _):
        taken = sum(stalled.post(Frame(FrameKind.DATA, f"s{n % 9}", n, bytes(50_000))) for n in range(1000))
        assert stalled.waiting <= 1 << 20
        assert taken <= (1 << 20) // 50_000 + 2
        assert not stalled.room(50_000 + OVERHEAD)
        await far.close()


async def test_text_that_waits_makes_senders_wait() -> None:
    other, far = memory.pair()
    limits = Limits(control_bytes=100_000)
    async with linked((Stalled(), other), Recorder(), Recorder(), limits) as (stalled, _):
        sent = 0
        with anyio.move_on_after(0.2):
            for _ in range(100):
                await stalled.send(EventNotice(cursor="", at=0.0, kind="k", subject="x" * 10_000))
                sent += 1
        assert 5 < sent < 30
        await far.close()


async def test_who_waits_for_room_is_called_once_there_is() -> None:
    calls: list[int] = []
    far = Recorder()
    async with linked(memory.pair(), Recorder(), far) as (one, _):
        while one.post(Frame(FrameKind.DATA, "s", 0, bytes(60_000))):
            pass
        for number in range(3):
            one.when_room(lambda number=number: calls.append(number))
        await eventually_async(lambda: len(calls) == 3, "all were called")
        assert calls == [0, 1, 2]


async def test_silence_is_pinged_and_then_ends_the_link() -> None:
    limits = Limits(ping_seconds=0.02, silence_seconds=0.3)
    stalled = Stalled()
    near = Recorder()
    peer = Peer(stalled, near, name="silent", limits=limits)
    with anyio.fail_after(30):
        await peer.run()
    assert "nothing was heard" in near.reason
    assert any(isinstance(message, str) and "link.ping" in message for message in stalled.sent)


async def test_half_a_message_is_no_word() -> None:
    """It keeps the link no longer than silence would, whatever was announced."""
    ours, theirs = socket.socketpair()
    connection, other = await unix.over(ours), await unix.over(theirs)
    near = Recorder()
    peer = Peer(Framed(connection), near, name="half", limits=Limits(ping_seconds=0.02, silence_seconds=0.3))
    await other.write(HEADER.pack(1 << 20, 1) + bytes(1000))
    with anyio.fail_after(30):
        await peer.run()
    assert "nothing was heard" in near.reason
    await other.close()


async def test_an_idle_link_is_kept_alive_by_answers_to_pings() -> None:
    limits = Limits(ping_seconds=0.02, silence_seconds=60.0)
    async with linked(memory.pair(), Recorder(), Recorder(), limits) as (one, two):
        for peer in (one, two):
            start = peer._silence.heard
            await eventually_async(
                lambda peer=peer, start=start: peer._silence.heard > start + 0.3, "answers are heard"
            )
        assert not one.closed.is_set()
        assert not two.closed.is_set()


class Deaf(Stalled):
    """A connection whose closing nobody hears."""

    async def receive(self) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize("early", [True, False])
async def test_closing_ends_the_link_also_when_the_connection_does_not_say_so(early: bool) -> None:
    handler = Recorder()
    peer = Peer(Deaf(), handler, name="deaf")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            if early:
                await peer.close("enough")
            group.start_soon(peer.run)
            await anyio.wait_all_tasks_blocked()
            await peer.close("enough")
    assert handler.reason == "enough"


class Raw:
    """A bare connection to a running peer."""

    def __init__(self, end: memory.MemoryEnd) -> None:
        self.end = end

    async def ask(self, text: str) -> dict[str, Any]:
        await self.end.send(text)
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        with anyio.fail_after(30):
            message = await self.end.receive()
        assert isinstance(message, str)
        return dict(json.loads(message))


async def with_raw(test: Any) -> tuple[Recorder, Peer]:
    """Runs a test against a peer and returns what became of it."""
    mine, theirs = memory.pair()
    handler = Recorder()
    peer = Peer(theirs, handler, name="raw")
    async with anyio.create_task_group() as group:
        group.start_soon(peer.run)
        with anyio.fail_after(30):
            await test(Raw(mine))
        await mine.close()
    return handler, peer


async def test_a_ping_is_answered_also_while_requests_are_handled() -> None:
    async def test(raw: Raw) -> None:
        await raw.end.send('{"type":"call","request_id":"h","workspace_id":"w","method":"hold"}')
        assert await raw.ask('{"type":"link.ping","request_id":"p"}') == {"type": "ack", "request_id": "p", "ok": True}

    await with_raw(test)


async def test_a_malformed_request_with_an_id_is_answered() -> None:
    async def test(raw: Raw) -> None:
        for text, code in (
            ('{"type":"call","request_id":"a"}', "malformed"),
            ('{"type":"no.such","request_id":"a"}', "method_not_found"),
            ('{"type":"call","request_id":"a","schema_version":"9"}', "version_unsupported"),
        ):
            answer = await raw.ask(text)
            assert (answer["request_id"], answer["ok"], answer["error"]["code"]) == ("a", False, code)

    _, peer = await with_raw(test)
    assert peer.dropped == 0


async def test_a_little_nonsense_is_dropped_and_counted_and_newer_notices_are_ignored() -> None:
    async def test(raw: Raw) -> None:
        for text in ("nonsense", "{}", '{"type":"from.the.future"}', '{"type":"ack","request_id":"unknown","ok":true}'):
            await raw.end.send(text)
        await raw.ask('{"type":"link.ping","request_id":"p"}')

    _, peer = await with_raw(test)
    assert peer.dropped == 2


@pytest.mark.parametrize(
    "messages,reason",
    [
        (["nonsense"] * 17, "malformed"),
        (["x" * ((2 << 20) + 1)], "too_large"),
        ([b""], "malformed"),
        ([b"\x03\x01s" + bytes(8) + bytes(270_000)], "too_large"),
    ],
)
async def test_worse_input_closes_the_link_with_its_reason(messages: list[str | bytes], reason: str) -> None:
    async def test(raw: Raw) -> None:
        raw.end.put(messages)
        while await raw.end.receive() is not None:
            pass

    handler, _ = await with_raw(test)
    assert handler.reason.startswith(reason)


async def test_a_peer_that_floods_requests_and_reads_nothing_is_bounded() -> None:
    mine, theirs = memory.pair()
    handler = Recorder()
    peer = Peer(theirs, handler, name="flooder", limits=Limits(requests_in=8, control_bytes=1 << 20))
    async with anyio.create_task_group() as group:
        group.start_soon(peer.run)
        for number in range(2000):
            text = json.dumps({"type": "call", "request_id": str(number), "workspace_id": "w", "method": "large"})
            with anyio.move_on_after(0.5) as scope:
                await mine.send(text)
            if scope.cancelled_caught:
                break
            assert handler.handling <= 8
        await mine.close()
    assert handler.most <= 8


async def test_what_is_queued_before_the_link_runs_is_sent_then() -> None:
    ends = memory.pair()
    far = Recorder()
    one, two = Peer(ends[0], Recorder(), name="one"), Peer(ends[1], far, name="two")
    one.tell(Drain(draining=True))
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        group.start_soon(two.run)
        await eventually_async(lambda: far.notices, "it arrived")
        await one.close()
