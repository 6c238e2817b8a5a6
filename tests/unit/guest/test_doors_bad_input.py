"""What holds at every door of a guest, whoever is on its other side: a file that grows while it is read, a command that never
ends, a peer that sends half of something and stops, and a peer that is gone in the middle of an answer."""

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
import pytest

from stead.guest.channel import Channel
from stead.guest.console import AT_ONCE, Console
from stead.guest.limiter import Limiter, Limits
from stead.guest.rpc import Rpc
from stead.guest.server import CONNECTIONS
from stead.protocol import guest as wire
from stead.protocol.codec import MESSAGE_BYTES
from stead.toolbox import records
from stead.toolbox.contract import CALL_BYTES
from stead.toolbox.local import opened
from stead.transport import unix
from stead.transport.framed import HEADER
from stead.transport.streams import Stream
from support.deadline import PATIENCE, eventually, eventually_async
from support.doors import LINES, LINKS, Doors, Serial
from support.guests import WORKSPACE

pytestmark = pytest.mark.anyio

SERVE = (sys.executable, "-P", "-m", "stead.guest", "serve")
SECONDS = 2.0
"""The time limit of what never ends: enough to begin, also on a machine at work."""
ENDLESS = "echo $$ >{pid}.new; mv {pid}.new {pid}; echo begun; sleep 600 & wait"


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with Doors(tmp_path_factory.mktemp("doors")) as found:
        yield found
        assert found.guest.state()["guest_restarts"] == 0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Doors]:
    """One whose serial line may be cut."""
    with Doors(tmp_path) as found:
        yield found
        assert found.guest.state()["guest_restarts"] == 0


@pytest.fixture(autouse=True)
async def _in_time() -> Any:
    with anyio.fail_after(PATIENCE * 2):
        yield


# --- a file that grows while it is read ----------------------------------------------------------------------------------


@contextmanager
def _growing(path: Path, size: int) -> Iterator[int]:
    """A file that somebody writes to all the time; its size when that begins."""
    path.write_bytes(b"x" * size)
    over = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not over.wait(0.0005):
                file.write(b"x" * 1000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        eventually(lambda: path.stat().st_size > size, "it grows")
        yield size
    finally:
        over.set()
        thread.join()
        path.unlink()


@pytest.mark.parametrize("door", LINES)
async def test_a_growing_file_in_one_line(doors: Doors, door: str) -> None:
    with _growing(doors.root / "log", 100) as size:
        async with doors.lines(door) as lines:
            answer = await lines.ask("file_read", path="log", encoding="base64")
            if "error" in answer:
                assert answer["error"]["data"]["code"] == "too_large"
            else:
                content = base64.b64decode(answer["result"]["content"])
                assert size < len(content) < wire.LINE_BYTES
                assert answer["result"]["size_bytes"] == len(content)
            eventually(lambda: (doors.root / "log").stat().st_size > wire.LINE_BYTES, "no line carries it")
            answer = await lines.ask("file_read", path="log")
            assert answer["error"]["data"]["code"] == "too_large"
            assert (await lines.ask("ping"))["result"]["pong"] is True


@pytest.mark.parametrize("door", LINKS)
async def test_a_growing_file_over_the_link(doors: Doors, door: str) -> None:
    with _growing(doors.root / "log", 300_000) as size:
        async with doors.linked(door) as client:
            stream = await client.open(WORKSPACE, "file.read", {"path": "log"})
            content = await _whole(stream)
            assert len(content) == stream.opened["size"] == stream.result["size"] >= size
            found = await client.ask("files.read", path="log", offset=0, limit=CALL_BYTES)
            assert size < len(base64.b64decode(found["content"])) <= CALL_BYTES
            assert (await client.ask("text.read", path="log"))["total_lines"] == 1
        assert (doors.root / "log").stat().st_size > len(content)


async def test_a_growing_file_over_http(doors: Doors) -> None:
    with _growing(doors.root / "log", 300_000) as size, doors.http() as client:
        with client.stream("GET", "/files/log") as answer:
            promised = int(answer.headers["content-length"])
            assert len(answer.read()) == promised >= size
        read = client.post("/api/files/read", json={"path": "log"})
        assert read.json()["totalLines"] == 1
        assert client.get("/health").status_code == 200


async def test_a_file_that_does_not_tell_its_size_is_whole_over_http(tmp_path: Path) -> None:
    """As those of /proc, which give less than a page at a time."""
    with Doors(tmp_path, root="/") as machine, machine.http() as client:
        content = client.get(f"/files//proc/{machine.pid}/smaps").content
        assert 3 * 4096 < len(content) <= CALL_BYTES
        assert content.count(b"VmFlags:") == content.count(b"Rss:")


# --- a command that never ends -------------------------------------------------------------------------------------------


class Endless:
    """A shell line that never ends, with a child, and its processes."""

    def __init__(self, doors: Doors, name: str) -> None:
        self._file = doors.root / f"{name}.pid"
        self._file.unlink(missing_ok=True)
        self.line = ENDLESS.format(pid=self._file.name)

    async def begun(self) -> None:
        await eventually_async(self._file.exists, "the command has begun")

    async def gone(self) -> None:
        """With what it had started: they are one session."""
        session = int(self._file.read_text())
        await eventually_async(lambda: not _of_session(session), "nothing of it is left")


def _of_session(session: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _session(pid) == session]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


@pytest.mark.parametrize("door", LINES)
async def test_a_command_without_end_in_lines(doors: Doors, door: str) -> None:
    endless = Endless(doors, "lines")
    async with doors.lines(door) as lines:
        params = {"command": "sh", "args": ["-c", endless.line], "working_directory": "."}
        number = await lines.say("exec_command", **params, timeout_seconds=SECONDS)
        await endless.begun()
        assert (await lines.ask("exec_command", command="echo", args=["other"]))["result"]["stdout"] == "other\n"
        error = (await lines.hear(number))["error"]
        assert (error["code"], error["data"]["stdout"]) == (wire.TIMED_OUT, "begun\n")
        await endless.gone()


@pytest.mark.parametrize("door", [each for each in LINES if each not in {"console", "device"}])
async def test_who_asked_in_lines_and_is_gone_ends_the_command(doors: Doors, door: str) -> None:
    endless = Endless(doors, "lost")
    async with doors.lines(door) as lines:
        await lines.say("exec_command", command="sh", args=["-c", endless.line], timeout_seconds=300)
        await endless.begun()
    await endless.gone()


@pytest.mark.parametrize("door", LINKS)
async def test_a_command_without_end_over_the_link(doors: Doors, door: str) -> None:
    timed, killed, left = (Endless(doors, name) for name in ("timed", "killed", "left"))
    async with doors.linked(door) as client:
        streams = [
            await client.open(WORKSPACE, "exec", {"argv": [each.line], "shell": True, "timeout": seconds})
            for each, seconds in ((timed, SECONDS), (killed, 0.0), (left, 0.0))
        ]
        for each in (timed, killed, left):
            await each.begun()
        assert _printed(await _whole(streams[0])) == b"begun\n"
        assert streams[0].result["state"] == "timed_out"
        await client.ask("exec.kill", exec_id=streams[1].opened["exec_id"])
        assert _printed(await _whole(streams[1])) == b"begun\n"
        assert streams[1].result["state"] == "signalled"
        assert (await client.ask("exec.show", exec_id=streams[2].opened["exec_id"]))["state"] == "running"
    for each in (timed, killed, left):
        await each.gone()


def _printed(raw: bytes) -> bytes:
    return b"".join(data for _, data, _ in records.Decoder().feed(raw))


async def test_a_command_without_end_over_http(doors: Doors) -> None:
    timed, killed = Endless(doors, "timed"), Endless(doors, "killed")
    with doors.http() as client, doors.http() as other:
        async with anyio.create_task_group() as group:
            group.start_soon(_timed_out_over_http, client, timed)
            await timed.begun()
            assert other.get("/status").json()["runningCommands"] >= 1
        started = client.post("/execute/command", json={"command": killed.line, "isBackground": True}).json()
        await killed.begun()
        assert client.delete(f"/api/commands/{started['commandId']}").status_code == 200
    for each in (timed, killed):
        await each.gone()


async def _timed_out_over_http(client: Any, endless: Endless) -> None:
    def ask() -> Any:
        return client.post("/execute/command", json={"command": endless.line, "timeout": SECONDS * 1000}).json()

    found = await anyio.to_thread.run_sync(ask)
    assert (found["timedOut"], found["stdout"], found["success"]) == (True, "begun\n", False)


@pytest.mark.parametrize("path", ["/execute/command", "/api/execute/command/stream"])
async def test_who_asked_over_http_and_hangs_up_ends_the_command(doors: Doors, path: str) -> None:
    endless = Endless(doors, "hung")
    with _http_socket(doors) as client:
        client.sendall(_post(path, {"command": endless.line, "timeout": 0}))
        await endless.begun()
    await endless.gone()


async def test_a_client_that_sends_its_next_request_early_is_still_there(doors: Doors) -> None:
    with _http_socket(doors) as client:
        slow = _post("/execute/command", {"command": "sleep 0.3; echo slow"})
        client.sendall(slow + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = b""
        while piece := await anyio.to_thread.run_sync(client.recv, 1 << 16):
            said += piece
    assert said.count(b"HTTP/1.1 200") == 2
    assert b"slow" in said


async def test_a_shell_line_without_end_is_ended_in_time(tmp_path: Path) -> None:
    with Doors(tmp_path, together=True, limits={"concurrent": 0, "exec_seconds": SECONDS}) as own:
        endless, serial = Endless(own, "timed"), Serial(await own.serial())
        await serial.say(f"EXEC:{endless.line}")
        assert (await serial.hear("EXEC"))["data"] == "begun\n"
        await serial.say('JSON:{"jsonrpc":"2.0","id":1,"method":"ping"}')
        assert (await serial.hear("JSON", lambda said: said.get("id") == 1))["result"]["pong"] is True
        assert (await serial.hear("EXEC", lambda said: "exit" in said))["exit"]["state"] == "timed_out"
        await endless.gone()
        await serial.way.close()


async def test_a_shell_line_without_end_is_killed_by_its_number_and_by_the_end_of_the_line(own: Doors) -> None:
    killed, left = Endless(own, "killed"), Endless(own, "left")
    serial = Serial(await own.serial())
    await serial.say(f"EXEC:{killed.line}")
    assert (await serial.hear("EXEC"))["data"] == "begun\n"
    await serial.say("KILL:1")
    end = await serial.hear("EXEC", lambda said: "exit" in said)
    assert (end["id"], end["exit"]["state"]) == (1, "signalled")
    for wrong in ("KILL:1", "KILL:none", "KILL:99999999999999999999"):
        await serial.say(wrong)
        assert (await serial.hear("EXEC"))["error"]["code"] == "exec_unknown"
    await serial.say(f"EXEC:{left.line}")
    await left.begun()
    await serial.way.close()
    own.hang_up()
    for each in (killed, left):
        await each.gone()


async def test_so_many_shell_lines_without_end_hold_up_nothing_else(own: Doors) -> None:
    serial = Serial(await own.serial())
    for _ in range(AT_ONCE + 1):
        await serial.say("EXEC:sleep 600")
    refused = await serial.hear("EXEC")
    assert (refused["id"], refused["error"]["code"]) == (AT_ONCE + 1, "too_many")
    await serial.say('JSON:{"jsonrpc":"2.0","id":1,"method":"ping"}')
    assert (await serial.hear("JSON", lambda said: said.get("id") == 1))["result"]["pong"] is True
    await serial.say("KILL:1")
    assert (await serial.hear("EXEC"))["id"] == 1
    await serial.way.close()


async def test_a_shell_whose_line_is_gone(own: Doors) -> None:
    endless = Endless(own, "terminal")
    serial = Serial(await own.serial())
    await serial.say("TERM:" + base64.b64encode(f"cd {own.root} && {endless.line}\n".encode()).decode())
    await endless.begun()
    await serial.way.close()
    own.hang_up()
    await endless.gone()


async def test_standard_input_that_ends_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(msgspec.json.encode({"run": str(tmp_path / "run"), "security": None}).decode())
    argv = [*SERVE, "--config", str(tmp_path / "c.json"), "--stdio"]
    line = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 600"
    params = {"command": "sh", "args": ["-c", line], "timeout_seconds": 300}
    request = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "exec_command", "params": params})
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(request + b'\n{"jsonrpc":"2.0","id":2,"meth')
        process.stdin.flush()
        eventually((tmp_path / "pid").exists, "the command has begun")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    session = int((tmp_path / "pid").read_text())
    eventually(lambda: not _of_session(session), "nothing of it is left")


# --- half of something, and then nothing ---------------------------------------------------------------------------------


HALVES = {
    "half a line": b'{"jsonrpc":"2.0","id":1,"method":"exec_command","params":{"command":"touch","args":["half"]}',
    "most of the longest line": b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (wire.LINE_BYTES - 100),
    "half a header": b'{"jsonrpc":"2.0","id":1,"method":"link.upgrade"}\n\0\0',
    "half a frame": b'{"jsonrpc":"2.0","id":1,"method":"link.upgrade"}\n' + HEADER.pack(1 << 20, 1) + b"x" * 300_000,
    "half a text": b'{"jsonrpc":"2.0","id":1,"method":"link.upgrade"}\n'
    + HEADER.pack(1000, 0)
    + b'{"type":"stream.open',
}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("door", LINKS)
async def test_half_of_something_holds_nobody_up_and_goes_with_its_connection(
    doors: Doors, door: str, half: str
) -> None:
    files = doors.files()
    stopped = await doors.way(door)
    await stopped.write(HALVES[half])
    async with doors.lines("socket" if door == "console channel" else door) as lines:
        assert (await lines.ask("ping"))["result"]["pong"] is True
    await stopped.close()
    async with doors.linked(door) as client:
        assert (await client.ask("files.stat", path="."))["kind"] == "directory"
    await eventually_async(lambda: doors.files() <= files, "nothing of it is kept")
    assert not (doors.root / "half").exists()


@pytest.mark.parametrize("half", [HALVES["half a line"], b"y" * 65_000])
async def test_half_a_line_of_a_serial_line_holds_up_no_other_door(own: Doors, half: bytes) -> None:
    serial = Serial(await own.serial())
    await serial.way.write(b"JSON:" + half)
    async with own.lines("socket") as lines:
        assert (await lines.ask("ping"))["result"]["pong"] is True
    await serial.say("")
    await serial.say('JSON:{"jsonrpc":"2.0","id":1,"method":"ping"}')
    assert (await serial.hear("JSON", lambda said: said.get("id") == 1))["result"]["pong"] is True
    await serial.way.close()


@pytest.mark.parametrize(
    "half",
    [
        b"GET /sta",
        b"GET /status HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000,
        b"POST /api/files/write HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 99\r\n\r\n{",
        b"PUT /files/half HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 9999\r\n\r\nhalf",
    ],
)
async def test_half_a_request_holds_nobody_up_and_leaves_nothing(doors: Doors, half: bytes) -> None:
    files = doors.files()
    with doors.http() as client, _http_socket(doors) as stopped:
        stopped.sendall(half.replace(b"%s", b"the-token-of-these-tests"))
        assert client.get("/status").status_code == 200
    await eventually_async(lambda: doors.files() <= files, "nothing of it is kept")
    assert not (doors.root / "half").exists()


async def test_many_that_stop_in_the_middle_make_room_and_cost_little(own: Doors) -> None:
    """The oldest of them go where a new one comes; what is at work stays."""
    async with own.lines("socket") as busy, AsyncExitStack() as stack:
        os.mkfifo(own.root / "go")
        number = await busy.say("exec_command", command="sh", args=["-c", "read x <go; echo $x"])
        assert (await busy.ask("ping"))["result"]["pong"] is True
        before = own.memory()
        for _ in range(CONNECTIONS * 2):
            stopped = await own.way("socket")
            stack.push_async_callback(stopped.close)
            await stopped.write(HALVES["most of the longest line"])
        async with own.lines("socket") as lines:
            assert (await lines.ask("ping"))["result"]["pong"] is True
        assert own.memory() - before < CONNECTIONS * wire.LINE_BYTES * 6
        await eventually_async(lambda: own.files() < CONNECTIONS + 40, "those that made room are closed")
        await anyio.to_thread.run_sync((own.root / "go").write_text, "went on\n")
        assert (await busy.hear(number))["result"]["stdout"] == "went on\n"


@pytest.mark.parametrize("door", LINES)
async def test_a_line_without_end_costs_no_more_than_the_longest(own: Doors, door: str) -> None:
    async with own.lines(door) as lines:
        assert (await lines.ask("ping"))["result"]["pong"] is True
        before = own.memory()
        way = await own.serial() if door == "console" else lines.way
        for _ in range(2 if door == "console channel" else 32):
            await way.write(b"x" * (1 << 20))
        await lines.way.write(b"\n")
        assert (await lines.ask("ping"))["result"]["pong"] is True
        assert own.memory() - before < 16 << 20


async def test_a_message_that_is_announced_too_large_ends_its_link_at_once(doors: Doors) -> None:
    way = await doors.way("socket")
    await way.write(b'{"jsonrpc":"2.0","id":1,"method":"link.upgrade"}\n' + HEADER.pack(MESSAGE_BYTES + 1, 1))
    while await way.read(1 << 16):
        pass
    await way.close()


async def test_half_a_line_of_a_serial_line_is_dropped_in_time(tmp_path: Path) -> None:
    """In this process, with less patience."""
    (tmp_path / "root").mkdir()
    ours, theirs = socket.socketpair()
    connection, line = await unix.over(ours), await unix.over(theirs)
    serial = Serial(line)

    async def pong(params: wire.Nothing) -> wire.Pong:
        return wire.Pong(pong=True, timestamp=0)

    async def connected(connection: Any) -> None:
        await Channel(connection, rpc, None).run()

    rpc = Rpc({"ping": (wire.Nothing, pong)})
    async with opened(tmp_path / "root", tmp_path / "run") as toolbox, anyio.create_task_group() as group:
        console = Console(connection, rpc, toolbox, connected, Limiter(Limits(concurrent=0)), patience=0.05)
        group.start_soon(console.run, b'{"begun":1}')
        await serial.hear("JSON")
        for half in (b'JSON:{"jsonrpc":"2.0","id":1,"meth', b"[    1.2] kernel: " + b"x" * 70_000):
            await line.write(half)
            await anyio.sleep(0.5)
            await serial.say('JSON:{"jsonrpc":"2.0","id":2,"method":"ping"}')
            assert (await serial.hear("JSON"))["result"]["pong"] is True
        await line.write(b"y" * 70_000 + b'JSON:{"jsonrpc":"2.0","id":3,"method":"ping"}\n')
        await serial.say('JSON:{"jsonrpc":"2.0","id":4,"method":"ping"}')
        assert (await serial.hear("JSON"))["id"] == 4, "the end of a line that is too long is not the beginning of one"
        await line.close()
    await connection.close()


# --- a peer that is gone in the middle of an answer ----------------------------------------------------------------------


@pytest.mark.parametrize("door", LINKS)
async def test_peers_that_are_gone_in_the_middle_of_an_answer(doors: Doors, door: str) -> None:
    (doors.root / "large").write_bytes(os.urandom(6 << 20))
    (doors.root / "line").write_bytes(b"x" * 40_000)
    files = doors.files()
    for _ in range(8):
        async with doors.lines(door) as lines:
            for _ in range(5):
                await lines.say("file_read", path="line")
            await lines.say("exec_command", command="head", args=["-c", "5000000", "/dev/zero"])
        async with doors.linked(door) as client:
            stream = await client.open(WORKSPACE, "file.read", {"path": "large"})
            assert await stream.receive()
    async with doors.lines(door) as lines:
        assert (await lines.ask("ping"))["result"]["pong"] is True
    await eventually_async(lambda: doors.files() <= files, "nothing is kept for them")


async def test_clients_of_http_that_are_gone_in_the_middle_of_an_answer(doors: Doors) -> None:
    (doors.root / "large").write_bytes(os.urandom(24 << 20))
    files = doors.files()
    for path in ("/files/large", "/api/terminal/stream?history=true", "/api/watcher/stream"):
        for _ in range(5):
            with _http_socket(doors) as client:
                client.sendall(_get(path))
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
    with doors.http() as client:
        assert client.get("/status").status_code == 200
    await eventually_async(lambda: doors.files() <= files, "nothing is kept for them")


async def test_a_serial_line_that_is_gone_in_the_middle_of_an_answer(own: Doors) -> None:
    files = own.files()
    serial = Serial(await own.serial())
    await serial.say("EXEC:yes")
    assert (await serial.hear("EXEC"))["data"].startswith("y\n")
    await serial.way.close()
    own.hang_up()
    await eventually_async(lambda: own.files() < files, "the line was let go")
    async with own.lines("socket") as lines:
        assert (await lines.ask("ping"))["result"]["pong"] is True
    async with own.linked("http") as client:

        async def ended() -> bool:
            execs = (await client.ask("exec.list"))["execs"]
            return [each["state"] for each in execs] == ["cancelled"]

        await eventually_async(ended, "the command has ended with its line")


# --- by hand -------------------------------------------------------------------------------------------------------------


async def _whole(stream: Stream) -> bytes:
    found = bytearray()
    while (data := await stream.receive()) is not None:
        found += data
    return bytes(found)


@contextmanager
def _http_socket(doors: Doors) -> Iterator[socket.socket]:
    host, _, port = doors.address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as client:
        yield client


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-token-of-these-tests\r\n\r\n".encode()


def _post(path: str, body: Any) -> bytes:
    content = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-token-of-these-tests\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
