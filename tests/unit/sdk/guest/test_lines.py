"""The JSON-RPC client against a peer that does everything wrong that a socket and a guest can do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.lines import CONCURRENT, Lines
from stead.transport import unix
from stead.transport.breaker import FAILURES, Breaker
from stead.transport.sockets import TransportBytes
from support.deadline import eventually_async

pytestmark = pytest.mark.anyio

READY = b'\n{"jsonrpc":"2.0","method":"agent_ready","params":{"version":"1","platform":"linux"}}\n'
Answer = Callable[[TransportBytes, dict[str, Any]], Awaitable[None]]


class Peer:
    """A guest made of one function; it counts connections and keeps the requests."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.connections = 0
        self.deaf = 0
        self.late = b""
        self.requests: list[dict[str, Any]] = []

    async def connected(self, stream: TransportBytes) -> None:
        self.connections += 1
        buffer = b""
        while data := await stream.read(1 << 16):
            *lines, buffer = (buffer + data).split(b"\n")
            for line in filter(None, lines):
                request = msgspec.json.decode(line)
                if request["id"] == "stead-step":
                    self.deaf -= 1
                    if self.deaf >= 0:
                        await stream.write(READY)
                        continue
                    await stream.write(_result(request, {"pong": True}) + self.late)
                    continue
                self.requests.append(request)
                await self._answer(stream, request)


@asynccontextmanager
async def _talking(place: Path, answer: Answer) -> AsyncIterator[tuple[Lines, Peer]]:
    peer = Peer(answer)
    async with anyio.create_task_group() as group:
        await group.start(unix.serve, place / "guest.sock", peer.connected)
        async with Lines(place / "guest.sock", breaker=Breaker(rest=1000.0)) as lines:
            with anyio.fail_after(30):
                yield lines, peer
        group.cancel_scope.cancel()


def _result(request: dict[str, Any], result: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request["id"], "result": result}) + b"\n"


async def test_answers_out_of_order_find_their_callers(tmp_path: Path) -> None:
    kept: list[dict[str, Any]] = []

    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        kept.append(request)
        if len(kept) == 3:
            for each in reversed(kept):
                await stream.write(_result(each, each["params"]["n"]))

    async with _talking(tmp_path, answer) as (lines, _):
        found: dict[int, Any] = {}

        async def one(number: int) -> None:
            found[number] = await lines.call("get_agent_info", {"n": number})

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(one, number)
    assert found == {0: 0, 1: 1, 2: 2}


async def test_rubbish_strangers_and_notifications_are_passed_over(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        await stream.write(b'half of a line from before"}\n[1]\n{"id":"another"}\n\xff\xfe\n{"id":7,"result":1}\n')
        await stream.write(b'{"jsonrpc":"2.0","method":"said","params":{"x":1}}\n')
        whole = _result(request, "here")
        await stream.write(whole[:10])
        await stream.write(whole[10:])

    async with _talking(tmp_path, answer) as (lines, _):
        assert await lines.call("ping") == "here"


async def test_what_may_be_repeated_is_sent_again_on_a_new_connection(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        if peer.connections < 3:
            await stream.close()
        else:
            await stream.write(_result(request, "at last"))

    async with _talking(tmp_path, answer) as (lines, peer):
        assert await lines.call("ping") == "at last"
        assert peer.connections == 3


async def test_a_guest_that_was_ready_before_it_was_asked_has_forgotten_nothing(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        await stream.write(_result(request, "done"))

    async with _talking(tmp_path, answer) as (lines, peer):
        peer.late = READY
        assert await lines.call("exec_command", {"command": "true"}) == "done"
        assert len(peer.requests) == 1


async def test_what_may_not_be_repeated_is_asked_once_and_its_outcome_is_unknown(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        await stream.close()

    async with _talking(tmp_path, answer) as (lines, peer):
        with pytest.raises(SteadError) as caught:
            await lines.call("exec_command", {"command": "true"})
        assert caught.value.code == "outcome_unknown"
        assert len(peer.requests) == 1


async def test_a_guest_that_began_anew_has_forgotten_what_it_was_asked(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        if len(peer.requests) == 2:
            await stream.write(
                b'\n{"jsonrpc":"2.0","method":"agent_ready","params":{"version":"1","platform":"linux"}}\n'
            )
        else:
            await stream.write(_result(request, "again"))

    async with _talking(tmp_path, answer) as (lines, peer):
        for _ in range(2):
            assert await lines.call("ping") == "again"
        assert (len(peer.requests), peer.connections) == (3, 1)


async def test_a_guest_that_is_elsewhere_at_first_is_asked_again(tmp_path: Path) -> None:
    """It was still in the middle of something of an earlier client, said so, and then answers."""

    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        await stream.write(_result(request, "once"))

    async with _talking(tmp_path, answer) as (lines, peer):
        peer.deaf = 2
        assert await lines.call("exec_command", {"command": "true"}) == "once"
        assert len(peer.requests) == 1


async def test_silence_is_a_timeout_and_five_of_them_open_the_circuit(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        """Says nothing."""

    async with _talking(tmp_path, answer) as (lines, peer):
        await lines.connected()
        for number in range(1, 6):
            with pytest.raises(SteadError) as caught:
                await lines.call("ping", seconds=0.05)
            assert caught.value.code == "timeout"
            while len(peer.requests) < number:
                await anyio.sleep(0.01)
        with pytest.raises(SteadError) as caught:
            await lines.call("ping")
        assert caught.value.code == "workspace_unreachable"
        assert "tried again in" in caught.value.message
        assert len(peer.requests) == 5


async def test_silence_of_what_may_not_be_repeated_is_an_unknown_outcome(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        """Says nothing."""

    async with _talking(tmp_path, answer) as (lines, peer):
        with pytest.raises(SteadError) as caught:
            await lines.call("exec_command", {"command": "true"}, seconds=0.5)
        assert caught.value.code == "outcome_unknown"
        assert len(peer.requests) == 1


async def test_one_loss_counts_once_however_many_wait(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        if len(peer.requests) == 8:
            await stream.close()

    async def one() -> None:
        with pytest.raises(SteadError) as caught:
            await lines.call("exec_command", {"command": "true"})
        assert caught.value.code == "outcome_unknown"

    async with _talking(tmp_path, answer) as (lines, peer):
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(one)
        assert lines.breaker.state == "closed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": -32000, "message": "no"}, "program_failed"),
        ({"code": -32001, "message": "no"}, "permission_denied"),
        ({"code": -32002, "message": "no"}, "not_found"),
        ({"code": -32003, "message": "no"}, "timeout"),
        ({"code": -32601, "message": "no"}, "method_not_found"),
        ({"code": -32000, "message": "no", "data": {"code": "disk_full"}}, "disk_full"),
        ({"code": "odd"}, "program_failed"),
        ({"code": [1]}, "program_failed"),
        ("odd", "malformed"),
    ],
)
async def test_errors_are_those_of_our_table_and_no_failures_of_the_guest(
    tmp_path: Path, error: object, code: str
) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        await stream.write(msgspec.json.encode({"jsonrpc": "2.0", "id": request["id"], "error": error}) + b"\n")

    async with _talking(tmp_path, answer) as (lines, _):
        for _ in range(6):
            with pytest.raises(SteadError) as caught:
                await lines.call("exec_command", {"command": "x"})
            assert caught.value.code == code
        assert lines.breaker.state == "closed"


async def test_a_request_that_is_too_long_is_not_sent(tmp_path: Path) -> None:
    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        await stream.write(_result(request, 1))

    async with _talking(tmp_path, answer) as (lines, peer):
        with pytest.raises(SteadError) as caught:
            await lines.call("file_write", {"path": "f", "content": "x" * 70_000})
        assert caught.value.code == "too_large"
        assert await lines.call("ping") == 1
        assert len(peer.requests) == 1


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    async with Lines(tmp_path / "nothing.sock") as lines:
        with pytest.raises(SteadError) as caught:
            await lines.call("exec_command", {"command": "true"}, seconds=20)
    assert caught.value.code == "workspace_unreachable"


async def test_that_a_call_waited_for_its_turn_is_nothing_against_the_guest(tmp_path: Path) -> None:
    go = anyio.Event()

    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        if len(peer.requests) == CONCURRENT:
            await go.wait()
            for each in peer.requests:
                await stream.write(_result(each, "done"))

    async with _talking(tmp_path, answer) as (lines, peer):
        found: list[Any] = []

        async def one() -> None:
            found.append(await lines.call("exec_command", {"command": "make"}))

        async with anyio.create_task_group() as group:
            for _ in range(CONCURRENT):
                group.start_soon(one)
            await eventually_async(lambda: len(peer.requests) == CONCURRENT, "all have their turn")
            for _ in range(FAILURES * 2):
                with pytest.raises(SteadError, match="others were served") as caught:
                    await lines.call("exec_command", {"command": "true"}, seconds=0.01)
                assert caught.value.code == "timeout"
            go.set()
        assert found == ["done"] * CONCURRENT
        assert (lines.breaker.state, len(peer.requests)) == ("closed", CONCURRENT)


async def test_the_channel_is_let_go_of_when_all_is_answered(tmp_path: Path) -> None:
    go = anyio.Event()

    async def answer(stream: TransportBytes, request: dict[str, Any]) -> None:
        if request["method"] == "exec_command":
            await go.wait()
        await stream.write(_result(request, request["method"]))

    async with _talking(tmp_path, answer) as (lines, peer):
        told: list[str] = []

        async def call(method: str) -> None:
            told.append(await lines.call(method))

        async def apart() -> None:
            async with lines.apart():
                told.append("apart")
                group.start_soon(call, "ping")
                await anyio.wait_all_tasks_blocked()
                assert told == ["exec_command", "apart"]

        async with anyio.create_task_group() as group:
            group.start_soon(call, "exec_command")
            await eventually_async(lambda: peer.requests, "it was asked")
            group.start_soon(apart)
            await anyio.wait_all_tasks_blocked()
            go.set()
        assert told == ["exec_command", "apart", "ping"]
        assert peer.connections == 2
