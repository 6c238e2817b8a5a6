"""A real guest under a real holder: its channel, its streams, and what survives which death."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from stead.guest.streams import STREAMS as STREAMS_AT_ONCE
from stead.protocol import guest as wire
from stead.protocol.errors import SteadError
from stead.protocol.frames import BULK_BYTES, PAYLOAD_BYTES
from stead.protocol.messages import Call, Inventory, StreamOpen
from stead.protocol.methods import CALLS, STREAMS
from stead.toolbox import records
from stead.toolbox.contract import CALL_BYTES
from stead.transport import unix
from stead.transport.sockets import TransportBytes
from stead.transport.streams import Stream
from support.deadline import PATIENCE, eventually, eventually_async
from support.guests import WORKSPACE, Client, GuestProcess

pytestmark = pytest.mark.anyio

DETACH = 0.5


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestProcess]:
    """One for the tests that leave it as it was."""
    with GuestProcess(tmp_path_factory.mktemp("guest")) as found:
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[GuestProcess]:
    """One that a test may kill; left execs end soon."""
    with GuestProcess(tmp_path, detach_seconds=DETACH) as found:
        yield found


@pytest.fixture
async def client(guest: GuestProcess) -> AsyncIterator[Client]:
    async with guest.linked() as found:
        yield found


class Lines:
    """A JSON-RPC client."""

    def __init__(self, channel: TransportBytes) -> None:
        self.channel = channel
        self._buffer = b""

    async def send(self, value: object) -> None:
        await self.channel.write((value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n")

    async def receive(self) -> Any:
        with anyio.fail_after(PATIENCE):
            while b"\n" not in self._buffer:
                piece = await self.channel.read(1 << 16)
                assert piece, "the guest closed the channel"
                self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        assert len(line) < wire.LINE_BYTES
        return json.loads(line)

    async def ask(self, method: str, **params: object) -> Any:
        await self.send({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        answer = await self.receive()
        assert answer["id"] == 7
        return answer.get("result", answer.get("error"))


@pytest.fixture
async def lines(guest: GuestProcess) -> AsyncIterator[Lines]:
    channel = await guest.channel()
    yield Lines(channel)
    await channel.close()


async def _collect(stream: Stream) -> bytes:
    found = []
    with anyio.fail_after(PATIENCE):
        while (data := await stream.receive()) is not None:
            found.append(data)
    return b"".join(found)


async def _becomes(client: Client, exec_id: str, state: str) -> None:
    with anyio.fail_after(PATIENCE):
        while (await client.ask("exec.show", exec_id=exec_id))["state"] != state:
            await anyio.sleep(0.02)


def _output(raw: bytes) -> dict[int, bytes]:
    found = {records.STDOUT: b"", records.STDERR: b""}
    for channel, data, _ in records.Decoder().feed(raw):
        found[channel] += data
    return found


def _count(lines: int, go: str) -> str:
    """Prints so many numbers, and in the middle waits for a file."""
    half = f"seq 0 {lines // 2 - 1}; until test -e {go}; do sleep 0.02; done"
    return f"{half}; seq {lines // 2} {lines - 1}"


# --- lines -----------------------------------------------------------------------------------------------------------


async def test_the_methods_of_the_guest_protocol(lines: Lines, guest: GuestProcess) -> None:
    assert (await lines.ask("ping"))["pong"] is True
    info = await lines.ask("get_agent_info")
    assert info["protocol_version"] == "1.0.0"
    assert {"exec_command", "file_read", "file_write"} <= set(info["capabilities"])
    done = await lines.ask("exec_command", command="sh", args=["-c", "echo out; echo err >&2; exit 3"])
    assert (done["exit_code"], done["stdout"], done["stderr"]) == (3, "out\n", "err\n")
    assert done["execution_time_ms"] >= 0
    assert (await lines.ask("exec_command", command="sh", args=["-c", "kill -9 $$"]))["exit_code"] == -1
    quiet = await lines.ask("exec_command", command="echo", args=["x"], capture_output=False)
    assert quiet["stdout"] == ""
    written = await lines.ask(
        "file_write", path="a/b", content="aGk=", encoding="base64", create_dirs=True, permissions="600"
    )
    assert written == {"bytes_written": 2, "path": "a/b"}
    absolute = f"{guest.root}/a/c"
    assert (await lines.ask("file_write", path=absolute, content=""))["path"] == absolute
    found = await lines.ask("file_read", path="a/b")
    assert found == {"content": "hi", "size_bytes": 2, "encoding": "utf8"}
    assert (await lines.ask("file_read", path="a/b", encoding="base64"))["content"] == "aGk="


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("exec_command", {"command": "no-such-program"}, wire.COMMAND_FAILED),
        ("exec_command", {"command": "sleep", "args": ["60"], "timeout_seconds": 0.1}, wire.TIMED_OUT),
        ("exec_command", {"command": "true", "timeout_seconds": 1e9}, wire.INVALID_PARAMS),
        ("exec_command", {"command": "true", "working_directory": "/etc"}, wire.COMMAND_FAILED),
        ("exec_command", {}, wire.INVALID_PARAMS),
        ("exec_command", {"command": "true", "more": 1}, wire.INVALID_PARAMS),
        ("file_read", {"path": "nothing"}, wire.NOT_FOUND),
        ("file_read", {"path": "../../etc/passwd"}, wire.PERMISSION_DENIED),
        ("file_read", {"path": "x", "encoding": "latin1"}, wire.INVALID_PARAMS),
        ("file_write", {"path": "x", "content": "!", "encoding": "base64"}, wire.INVALID_PARAMS),
        ("file_write", {"path": "x", "content": "", "permissions": "9"}, wire.INVALID_PARAMS),
        ("power_off", {}, wire.METHOD_NOT_FOUND),
        ("shutdown", {}, wire.PERMISSION_DENIED),
        ("reboot", {"force": True}, wire.PERMISSION_DENIED),
        ("shutdown", {"timeout_seconds": "soon"}, wire.INVALID_PARAMS),
        ("reboot", {"delay": 1}, wire.INVALID_PARAMS),
    ],
)
async def test_the_error_codes_of_the_guest_protocol(
    lines: Lines, method: str, params: dict[str, object], code: int
) -> None:
    assert (await lines.ask(method, **params))["code"] == code


async def test_output_that_does_not_fit_a_line_is_cut_and_told(lines: Lines) -> None:
    line = "head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2"
    done = await lines.ask("exec_command", command="sh", args=["-c", line])
    assert done["truncated"] is True
    assert 0 < len(done["stdout"]) < wire.LINE_BYTES
    await lines.ask("exec_command", command="sh", args=["-c", "head -c 90000 /dev/zero > big"])
    assert (await lines.ask("file_read", path="big"))["data"] == {"code": "too_large"}


async def test_a_malformed_line_costs_nothing_else(lines: Lines) -> None:
    for junk in (b"{", b"\xff\xff", b"[[[[", b"null null"):
        await lines.send(junk)
        assert (await lines.receive())["error"]["code"] == wire.PARSE
    await lines.send(b"\n\n  ")
    assert (await lines.ask("ping"))["pong"] is True


async def test_a_line_that_is_too_long_is_passed_over(lines: Lines) -> None:
    for size in (wire.LINE_BYTES, 1 << 20):
        await lines.send(b"x" * size)
        assert (await lines.receive())["error"]["code"] == wire.INVALID_REQUEST
        assert (await lines.ask("ping"))["pong"] is True


async def test_a_long_exec_blocks_nothing(lines: Lines) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "exec_command"}
    await lines.send(request | {"params": {"command": "sh", "args": ["-c", "until test -e go; do sleep 0.02; done"]}})
    assert (await lines.ask("ping"))["pong"] is True
    upgrade = await lines.ask("link.upgrade")
    assert upgrade["code"] == wire.INVALID_REQUEST
    assert (await lines.ask("file_write", path="go", content=""))["bytes_written"] == 0
    assert (await lines.receive())["result"]["exit_code"] == 0


async def test_the_upgrade_is_a_request_like_any_other(lines: Lines) -> None:
    await lines.send({"jsonrpc": "2.0", "method": "link.upgrade"})
    await lines.send([{"jsonrpc": "2.0", "id": 1, "method": "link.upgrade"}])
    assert (await lines.receive())[0]["error"]["code"] == wire.METHOD_NOT_FOUND
    assert (await lines.ask("ping"))["pong"] is True


# --- the link --------------------------------------------------------------------------------------------------------


async def test_the_hello_tells_what_it_can(client: Client) -> None:
    assert client.hello is not None
    assert client.hello.capabilities == [*CALLS, *STREAMS]
    info = await client.ask("workspace.info")
    assert info["boot_id"] == client.hello.boot_id
    assert info["workspace_id"] == WORKSPACE


async def test_what_the_guest_does_not_do(client: Client) -> None:
    assert client.peer is not None
    wrong = "ws_11111111111111111111111111"
    messages = [
        (Call(request_id="", workspace_id=wrong, method="workspace.info"), "not_found"),
        (StreamOpen(request_id="", stream_id="st_x", workspace_id=wrong, kind="exec"), "not_found"),
        (Call(request_id="", workspace_id=WORKSPACE, method="files.format"), "method_not_found"),
        (StreamOpen(request_id="", stream_id="st_x", workspace_id=WORKSPACE, kind="tunnel"), "method_not_found"),
        (Inventory(request_id="", inventory_id="x", page=0, last=True, workspaces=[]), "method_not_found"),
    ]
    for message, code in messages:
        with pytest.raises(SteadError) as found:
            await client.peer.request(message)
        assert found.value.code == code


async def test_a_call_carries_no_more_than_it_may(client: Client) -> None:
    for method in ("files.write", "files.append"):
        with pytest.raises(SteadError) as found:
            await client.ask(method, path="too-large", content=bytes(CALL_BYTES + 1))
        assert found.value.code == "too_large"
    assert (await client.ask("files.delete", path="too-large"))["existed"] is False


async def test_several_channels_at_once(guest: GuestProcess) -> None:
    async with guest.linked() as one, guest.linked() as two:
        first = await one.open(WORKSPACE, "exec", {"argv": ["cat"], "stdin": True})
        second = await two.open(WORKSPACE, "exec", {"argv": ["cat"], "stdin": True})
        await first.send(b"one")
        await second.send(b"two")
        await first.end()
        await second.end()
        assert _output(await _collect(first))[1] == b"one"
        assert _output(await _collect(second))[1] == b"two"


async def test_a_listing_is_cut_to_a_message(own: GuestProcess) -> None:
    async with own.linked() as client:
        place = own.root.joinpath(*["d" * 250] * 14)
        place.mkdir(parents=True)
        for number in range(700):
            (place / f"{number:0200}").touch()
        listing = await client.ask("files.list", depth=20)
        assert listing["truncated"] is True
        assert len(listing["entries"]) >= 300


async def test_a_call_waits_as_long_as_it_may_and_the_exec_goes_on(client: Client, guest: GuestProcess) -> None:
    asked: dict[str, Any] = {"argv": ["until test -e go2; do sleep 0.02; done; echo done"], "shell": True}
    with pytest.raises(SteadError) as found:
        await client.ask("exec.run", 0.2, **asked)
    assert found.value.code == "timeout"
    (guest.root / "go2").touch()
    exec_id = found.value.details["exec_id"]
    result = await client.ask("exec.run", exec_id=exec_id, **asked)
    assert result["stdout"] == "ZG9uZQo="
    listed = (await client.ask("exec.list"))["execs"]
    assert [each["exec_id"] for each in listed].count(exec_id) == 1


# --- streams ---------------------------------------------------------------------------------------------------------


async def test_a_link_that_breaks_costs_no_byte(guest: GuestProcess) -> None:
    """The client comes back over another channel in the middle of the output."""
    client = Client()
    async with guest.linked(client):
        line = _count(3000, "go3")
        stream = await client.open(WORKSPACE, "exec", {"argv": [line], "shell": True})
        got = await stream.receive()
    assert got is not None
    (guest.root / "go3").touch()
    async with guest.linked(client):
        got += await _collect(stream)
        assert stream.result["exit_code"] == 0
    assert _output(got)[1] == b"".join(f"{number}\n".encode() for number in range(3000))


async def test_the_same_open_twice_is_one_exec(client: Client) -> None:
    stream = await client.open(WORKSPACE, "exec", {"argv": ["sh", "-c", "echo x >> ran; cat"], "stdin": True})
    assert client.peer is not None
    again = StreamOpen(request_id="", stream_id=stream.id, workspace_id=WORKSPACE, kind="exec")
    assert await client.peer.request(again) == stream.opened
    await stream.end()
    await _collect(stream)
    assert (await client.ask("files.read", path="ran"))["content"] == "eAo="


async def test_a_reset_ends_a_foreground_exec(client: Client) -> None:
    stream = await client.open(WORKSPACE, "exec", {"argv": ["sleep", "600"]})
    exec_id = stream.opened["exec_id"]
    await stream.reset(SteadError("cancelled", "enough"))
    await _becomes(client, exec_id, "cancelled")


async def test_a_reset_leaves_a_background_exec(client: Client) -> None:
    stream = await client.open(WORKSPACE, "exec", {"argv": ["cat"], "background": True, "stdin": True})
    exec_id = stream.opened["exec_id"]
    other = await client.open(WORKSPACE, "exec.attach", {"exec_id": exec_id})
    await stream.reset(SteadError("cancelled", "enough"))
    await other.reset(SteadError("cancelled", "enough"))
    assert (await client.ask("exec.run", argv=["sleep", "0.3"]))["status"]["state"] == "exited"
    assert (await client.ask("exec.show", exec_id=exec_id))["state"] == "running"
    await client.ask("exec.kill", exec_id=exec_id, signal=9)


async def test_left_by_its_client_a_foreground_exec_ends_in_time(own: GuestProcess) -> None:
    async with own.linked() as client:
        stream = await client.open(WORKSPACE, "exec", {"argv": ["sleep", "600"]})
        background = await client.open(WORKSPACE, "exec", {"argv": ["sleep", "600"], "background": True})
        exec_id, other = stream.opened["exec_id"], background.opened["exec_id"]
        await client.detach(stream)
        await client.detach(background)
        await _becomes(client, exec_id, "cancelled")
        assert (await client.ask("exec.show", exec_id=other))["state"] == "running"


@pytest.mark.parametrize("crash", [False, True])
async def test_what_waits_for_a_reader_who_never_comes_back_ends_in_time(own: GuestProcess, crash: bool) -> None:
    """Its log is full, also while another guest begins; then nobody is left to wait for."""
    async with own.linked() as client:
        stream = await client.open(WORKSPACE, "exec", {"argv": ["yes"], "log_bytes": 0})
        exec_id = stream.opened["exec_id"]
        await _prints(client, exec_id)
        if crash:
            await anyio.to_thread.run_sync(own.kill_guest)
        else:
            await client.detach(stream)
    async with own.linked() as client:
        await _becomes(client, exec_id, "cancelled")
        status = await client.ask("exec.show", exec_id=exec_id)
    assert status["output_bytes"] < 8 << 20
    assert not status.get("truncated")
    assert sum(file.stat().st_size for file in (own.run / "execs").glob(f"{exec_id}*")) < 8 << 20


async def _prints(client: Client, exec_id: str) -> None:
    with anyio.fail_after(PATIENCE):
        while (await client.ask("exec.show", exec_id=exec_id)).get("output_bytes", 0) < 1_000_000:
            await anyio.sleep(0.02)


async def test_an_exec_whose_call_lost_its_link_ends_in_time(own: GuestProcess) -> None:
    exec_id = "ex_00000000000000000000000001"
    async with own.linked() as client:
        async with anyio.create_task_group() as group:
            group.start_soon(_run_until_lost, client, exec_id)
            await eventually_async(lambda: exec_id in (own.run / "execs" / "journal").read_text(), "it runs")
            assert client.peer is not None
            await client.peer.close()
    async with own.linked() as client:
        await _becomes(client, exec_id, "cancelled")


async def _run_until_lost(client: Client, exec_id: str) -> None:
    with pytest.raises(SteadError) as found:
        await client.ask("exec.run", argv=["sleep", "600"], exec_id=exec_id)
    assert found.value.code == "unavailable"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
async def test_a_cut_upload_leaves_nothing(own: GuestProcess) -> None:
    async with own.linked() as client:
        stream = await client.open(WORKSPACE, "file.write", {"path": "f"})
        await stream.send(b"x" * 1_000_000)
        await stream.reset(SteadError("cancelled", "enough"))
        lost = await client.open(WORKSPACE, "file.write", {"path": "g"})
        await lost.send(b"x" * 100_000)
        await client.detach(lost)
        await eventually_async(lambda: not _unfinished(own), "the guest lets go of both files")
        assert (await client.ask("files.list"))["entries"] == []
    assert list(own.root.iterdir()) == []


def _unfinished(guest: GuestProcess) -> list[str]:
    """The files without a name, or without their name yet, that the guest has open."""
    open_files = []
    for entry in Path(f"/proc/{guest.state()['guest_pid']}/fd").iterdir():
        try:
            open_files.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return [name for name in open_files if name.startswith(f"{guest.root}/")]


async def test_only_so_many_streams_at_once(own: GuestProcess) -> None:
    async with own.linked() as client:
        opened = [
            await client.open(WORKSPACE, "file.write", {"path": f"f{number}"}) for number in range(STREAMS_AT_ONCE)
        ]
        with pytest.raises(SteadError) as found:
            await client.open(WORKSPACE, "file.write", {"path": "more"})
        assert found.value.code == "too_many"
        for stream in opened:
            await stream.reset(SteadError("cancelled", "enough"))
        assert (await client.ask("exec.run", argv=["true"]))["status"]["exit_code"] == 0
        again = await client.open(WORKSPACE, "file.write", {"path": "more"})
        await again.end()
        assert await _collect(again) == b""
        assert again.result == {"path": "more", "size": 0, "created": True}


async def test_an_upload_that_fails_says_why(client: Client) -> None:
    stream = await client.open(WORKSPACE, "file.write", {"path": "h", "size": 10})
    with pytest.raises(SteadError) as found:
        await stream.send(b"x" * 10_000_000)
        await stream.end()
        await _collect(stream)
    assert found.value.code == "invalid"


async def test_files_travel_in_large_frames_both_ways(client: Client, guest: GuestProcess) -> None:
    content = os.urandom(3 << 20)
    up = await client.open(WORKSPACE, "file.write", {"path": "large"})
    await up.send(content)
    assert up._end.most == BULK_BYTES
    await up.end()
    assert await _collect(up) == b""
    assert (guest.root / "large").read_bytes() == content
    assert await _collect(await client.open(WORKSPACE, "file.read", {"path": "large"})) == content
    assert client.largest == BULK_BYTES


async def test_frames_stay_small_where_a_hop_does_not_know_of_larger_ones(client: Client, guest: GuestProcess) -> None:
    (guest.root / "large").write_bytes(bytes(3 << 20))
    assert client.peer is not None
    stream = client.ends.accept("st_old", WORKSPACE, "file.read", client.peer)
    params = msgspec.Raw(b'{"path":"large"}')
    await client.peer.request(
        StreamOpen(request_id="", stream_id="st_old", workspace_id=WORKSPACE, kind="file.read", params=params)
    )
    assert await _collect(stream) == bytes(3 << 20)
    assert client.largest == PAYLOAD_BYTES


async def test_a_slow_reader_of_a_file_holds_nothing_up(client: Client, guest: GuestProcess) -> None:
    content = os.urandom(1 << 20) * 20
    (guest.root / "large").write_bytes(content)
    slow = await client.open(WORKSPACE, "file.read", {"path": "large"})
    assert slow.opened == {"size": len(content), "offset": 0}
    part = await client.open(WORKSPACE, "file.read", {"path": "large", "offset": 5, "length": 100_000})
    assert await _collect(part) == content[5:100_005]
    assert (await client.ask("exec.run", argv=["true"]))["status"]["exit_code"] == 0
    assert await _collect(slow) == content
    assert slow.result == {"size": len(content)}


# --- deaths ----------------------------------------------------------------------------------------------------------


async def test_kill_9_of_the_guest(own: GuestProcess) -> None:
    """Execs go on, their output is whole, the new guest says that it is another."""
    line = _count(2000, "go")
    async with own.linked() as client:
        boot_id = (await client.ask("workspace.info"))["boot_id"]
        stream = await client.open(WORKSPACE, "exec", {"argv": [line], "shell": True, "background": True})
        first = await stream.receive()
        assert first is not None
        exec_id = stream.opened["exec_id"]
        own.kill_guest()
        assert client.peer is not None
        await client.peer.closed.wait()
    (own.root / "go").touch()
    async with own.linked() as client:
        info = await client.ask("workspace.info")
        assert info["boot_id"] != boot_id
        assert info["guest_restarts"] == 1
        whole = await client.open(WORKSPACE, "exec.attach", {"exec_id": exec_id})
        raw = await _collect(whole)
        assert _output(raw)[1] == b"".join(f"{number}\n".encode() for number in range(2000))
        assert whole.result["exit_code"] == 0
        border = records.Decoder().feed(raw)[0][2]
        rest = await client.open(WORKSPACE, "exec.attach", {"exec_id": exec_id, "cursor": border})
        assert await _collect(rest) == raw[border:]


async def test_nobody_comes_back_after_kill_9_of_the_guest(own: GuestProcess) -> None:
    async with own.linked() as client:
        stream = await client.open(WORKSPACE, "exec", {"argv": ["sleep", "600"]})
        exec_id = stream.opened["exec_id"]
        own.kill_guest()
        assert client.peer is not None
        await client.peer.closed.wait()
    async with own.linked() as client:
        await _becomes(client, exec_id, "cancelled")


async def test_kill_9_of_the_guest_again_and_again(own: GuestProcess) -> None:
    for _ in range(4):
        own.kill_guest()
    async with own.linked() as client:
        assert (await client.ask("workspace.info"))["guest_restarts"] == 4


async def test_a_pipe_in_the_place_of_the_state_holds_nobody_up(own: GuestProcess) -> None:
    os.mkfifo(own.run / "holder.json.part")
    pid = own.state()["guest_pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not _exists(pid), "the guest is gone")
    async with own.linked() as client:
        assert (await client.ask("workspace.info"))["guest_restarts"] == 1
        assert (await client.ask("exec.run", argv=["true"]))["status"]["exit_code"] == 0


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_kill_9_of_the_guest_in_an_upload(own: GuestProcess) -> None:
    (own.root / "f").write_bytes(b"old")
    async with own.linked() as client:
        stream = await client.open(WORKSPACE, "file.write", {"path": "f"})
        await stream.send(b"x" * 1_000_000)
        own.kill_guest()
        assert client.peer is not None
        await client.peer.closed.wait()
    left = {entry.name: entry.read_bytes() for entry in own.root.iterdir() if not _is_unfinished(entry)}
    assert left == {"f": b"old"}


def _is_unfinished(file: Path) -> bool:
    """Where a file cannot be without a name, a killed guest leaves one."""
    return not hasattr(os, "O_TMPFILE") and file.suffix == ".part"


async def test_kill_9_of_the_holder(own: GuestProcess) -> None:
    """The guest goes too: a driver sees a workspace that is broken."""
    assert own.holder is not None
    async with own.linked() as client:
        pid = int((await _first_line(client, "echo $$; exec sleep 600")).decode())
        own.holder.kill()
        own.holder.wait()
        assert client.peer is not None
        with anyio.fail_after(PATIENCE):
            await client.peer.closed.wait()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not (own.run / "guest.sock").exists(), "the guest is gone")
    with pytest.raises(SteadError):
        await unix.connect(own.run / "guest.sock")


async def _first_line(client: Client, line: str) -> bytes:
    stream = await client.open(WORKSPACE, "exec", {"argv": [line], "shell": True, "background": True})
    data = await stream.receive()
    assert data is not None
    return _output(data)[1].splitlines()[0]


async def test_term_ends_everything_in_time(own: GuestProcess) -> None:
    async with own.linked() as client:
        line = "trap '' TERM; (setsid sleep 600 2>/dev/null &); echo $$; sleep 600; sleep 600"
        pid = int(await _first_line(client, line))
        assert own.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    last = (own.run / "execs" / "journal").read_text().splitlines()[-1]
    assert json.loads(last)["state"] == "cancelled"


# --- weight and forms ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
async def test_guest_and_holder_are_small(own: GuestProcess) -> None:
    def resident(pid: int) -> float:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / (1 << 20)

    async with own.linked() as client:
        assert (await client.ask("exec.run", argv=["true"]))["status"]["exit_code"] == 0
        state = own.state()
        assert resident(state["guest_pid"]) < 30
        assert resident(state["pid"]) < 36


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
async def test_a_forked_guest_is_a_process_of_its_own(own: GuestProcess) -> None:
    """Also the second one, which is forked while the holder works."""
    async with own.linked() as client:
        await client.open(WORKSPACE, "exec", {"argv": ["sleep", "600"], "background": True, "stdin": True})
        before = await client.ask("exec.run", argv=["sh", "-c", "echo $$"])
    own.kill_guest()
    async with own.linked() as client:
        state = own.state()
        guest, holder = state["guest_pid"], state["pid"]
        assert os.getsid(guest) == guest == os.getpgid(guest)
        words = Path(f"/proc/{guest}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        assert words[words.index(b"-m") + 1 :] == [b"stead.guest", b"serve", b"--config", bytes(own.config)]
        assert b"stead.guest.holder" in Path(f"/proc/{holder}/cmdline").read_bytes()
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{guest}/status").read_text().splitlines())
        assert int(status["SigBlk"], 16) == 0
        caught = {number for number in signal.valid_signals() if int(status["SigCgt"], 16) >> (number - 1) & 1}
        assert caught == {signal.SIGTERM, signal.SIGINT}
        assert not _channels(guest) & _channels(holder)
        after = await client.ask("exec.run", argv=["sh", "-c", "echo $$"])
        assert after["status"]["exec_id"] != before["status"]["exec_id"]


def _channels(pid: int) -> set[str]:
    """The pipes and sockets a process has open."""
    names = (str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    return {name for name in names if name.startswith(("pipe:", "socket:"))}


def test_the_guest_imports_nothing_heavy() -> None:
    code = "import sys, stead.guest.server; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"litestar", "sqlalchemy", "rich", "httpx", "httpx2", "cyclopts", "psutil", "websockets", "cryptography"}
    assert not heavy & set(done.stdout.split())
    code = "import sys, stead.guest.holder, stead.toolbox.holding.engine; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "msgspec", "anyio", "subprocess", "argparse", "pathlib", "shutil", "logging"}
    assert not heavy & set(done.stdout.split())


async def test_a_scripted_guest_on_standard_input_and_output(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    script = {"lose_channel_after": 3, "fail_first": 1}
    config = {
        "workspace_id": WORKSPACE,
        "root": str(tmp_path / "root"),
        "run": str(tmp_path / "run"),
        "toolbox": "scripted",
        "environment": {"STEAD_TOOLBOX_SCRIPT": json.dumps(script)},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-P", "-m", "stead.guest", "scripted", "--config", str(tmp_path / "config.json")]
    with theirs:
        process = subprocess.Popen(argv, stdin=theirs.fileno(), stdout=theirs.fileno())
    lines = Lines(await unix.over(ours))
    assert (await lines.ask("ping"))["pong"] is True
    assert (await lines.ask("file_read", path="f"))["data"] == {"code": "unavailable"}
    assert (await lines.ask("file_write", path="f", content="x"))["bytes_written"] == 1
    await lines.send({"jsonrpc": "2.0", "id": 1, "method": "file_read", "params": {"path": "f"}})
    assert await lines.channel.read(100) == b""
    await lines.channel.close()
    assert process.wait(PATIENCE) == 0
