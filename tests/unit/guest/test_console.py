"""A serial line with everything on it at once: requests, commands, a shell on a terminal, and what others print."""

import base64
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from stead.sdk.guest.client import connect
from stead.sdk.guest.link import GuestLink
from stead.sdk.guest.way import Way
from stead.toolbox.contract import Exec
from support.deadline import PATIENCE, eventually

SERVE = (sys.executable, "-P", "-m", "stead.guest", "serve")


class Line:
    """This end of a serial line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""

    def say(self, line: bytes) -> None:
        os.write(self._descriptor, line + b"\n")

    def hear(self, kind: bytes) -> bytes:
        """The rest of the next line of this kind; the others are passed over."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if not newline:
                self._buffer += os.read(self._descriptor, 1 << 16)
                continue
            self._buffer = rest
            if line.startswith(kind + b":"):
                return line.strip().partition(b":")[2]

    def request(self, method: str, **params: Any) -> Any:
        self.say(b"JSON:" + json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())
        while "id" not in (found := json.loads(self.hear(b"JSON"))):
            pass
        return found.get("result", found.get("error"))

    def shown(self, words: bytes) -> bytes:
        """What the terminal shows until these words."""
        text = b""
        while words not in text:
            text += base64.b64decode(self.hear(b"TERM"))
        return text

    def type(self, keys: bytes) -> None:
        self.say(b"TERM:" + base64.b64encode(keys))


@contextmanager
def _served(place: Path, **fields: Any) -> Iterator[Line]:
    ours, theirs = os.openpty()
    config = {"run": str(place / "run"), "name": "machine", "security": None} | fields
    (place / "c.json").write_text(json.dumps(config))
    argv = [*SERVE, "--config", str(place / "c.json"), "--console", os.ttyname(theirs)]
    process = subprocess.Popen(argv)
    try:
        line = Line(ours)
        assert json.loads(line.hear(b"JSON"))["method"] == "agent_ready"
        yield line
    finally:
        process.terminate()
        process.wait(PATIENCE)
        os.close(ours)
        os.close(theirs)


def test_requests_and_what_is_none(tmp_path: Path) -> None:
    with _served(tmp_path) as line:
        assert line.request("ping")["pong"] is True
        rubbish = (b"[    0.5] kernel: hello", b"", b"JSON", b"JSON:", b"TERM:%%%", b"SIZE:1", b"\xff\xfe:x")
        for each in (*rubbish, b"X" * 70_000):
            line.say(each)
        line.say(b"JSON:{half")
        assert json.loads(line.hear(b"JSON"))["error"]["code"] == -32700
        done = line.request("exec_command", command="sh", args=["-c", "echo out; exit 3"])
        assert (done["exit_code"], done["stdout"]) == (3, "out\n")


def test_commands_beside_each_other(tmp_path: Path) -> None:
    with _served(tmp_path) as line:
        line.say(b"EXEC:read -r x < /dev/null; sleep 0.3; echo late; exit 4")
        line.say(b"EXEC:echo early; echo bad >&2")
        told: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
        while not all(found and "exit" in found[-1] for found in told.values()):
            piece = json.loads(line.hear(b"EXEC"))
            told[piece["id"]].append(piece)
        assert {(each["stream"], each["data"]) for each in told[2][:-1]} == {("stdout", "early\n"), ("stderr", "bad\n")}
        assert (told[1][0]["data"], told[1][-1]["exit"]["code"]) == ("late\n", 4)
        line.say(b"EXEC:head -c 100000 /dev/zero | tr '\\0' x")
        length = 0
        while "exit" not in (piece := json.loads(line.hear(b"EXEC"))):
            length += len(piece["data"])
        assert length == 100_000
        line.say(b"EXEC:printf 'cut \\342\\202'")
        assert json.loads(line.hear(b"EXEC"))["data"] == "cut "
        assert json.loads(line.hear(b"EXEC"))["data"] == "\ufffd"


def test_a_shell_on_a_terminal(tmp_path: Path) -> None:
    with _served(tmp_path) as line:
        line.say(b"SIZE:33x99")
        line.type(b"stty size; tty; echo on''e\n")
        text = line.shown(b"one\r\n")
        assert b"33 99" in text
        assert b"/dev/pts/" in text
        line.say(b"SIZE:40x120")
        line.type(b"stty size\n")
        line.shown(b"40 120")
        line.type(b"sh -c 'trap \"echo interr''upted; exit\" INT; echo at wo''rk; while :; do sleep 0.1; done'\n")
        line.shown(b"at work")
        line.type(b"\x03")
        line.shown(b"interrupted")
        line.type(b"echo tw''o\n")
        line.shown(b"two\r\n")
        assert line.request("ping")["pong"] is True
        line.type(b"seq 100000 130000; exit\n")
        text = line.shown(b"[the shell has ended]")
        assert b"\r\n".join(b"%d" % number for number in range(100_000, 130_001)) in text
        line.type(b"echo agai''n\n")
        line.shown(b"again\r\n")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process cannot be given limits here")
def test_where_no_more_can_be_opened_the_line_goes_on_without_a_terminal(tmp_path: Path) -> None:
    with _served(tmp_path) as line:
        state = tmp_path / "run" / "holder.json"
        eventually(state.exists, "the holder tells of its guest")
        guest = json.loads(state.read_text())["guest_pid"]
        most = resource.prlimit(guest, resource.RLIMIT_NOFILE)
        resource.prlimit(guest, resource.RLIMIT_NOFILE, (3, most[1]))
        line.type(b"echo x\n")
        assert json.loads(line.hear(b"EXEC"))["error"]["code"] == "too_many"
        resource.prlimit(guest, resource.RLIMIT_NOFILE, most)
        line.type(b"echo mo''re\n")
        line.shown(b"more\r\n")


def test_a_terminal_is_more_than_a_policy_permits(tmp_path: Path) -> None:
    with _served(tmp_path, security={"command_whitelist": ["echo"]}) as line:
        line.type(b"echo x\n")
        assert json.loads(line.hear(b"EXEC"))["error"]["code"] == "refused"
        line.say(b"EXEC:echo x")
        assert json.loads(line.hear(b"EXEC"))["error"]["code"] == "refused"
        assert line.request("exec_command", command="echo", args=["x"])["stdout"] == "x\n"


@contextmanager
def _over_a_socket(place: Path) -> Iterator[tuple[Path, Path]]:
    """A guest at a serial line whose other end is a unix socket; the socket and the guest's end of the line."""
    tty, socket = place / "tty", place / "line.sock"
    socat = subprocess.Popen(
        ["socat", "-t0", f"PTY,link={tty},raw,echo=0", f"UNIX-LISTEN:{socket},fork,max-children=1"]
    )
    (place / "c.json").write_text(json.dumps({"run": str(place / "run"), "security": None}))
    guest = None
    try:
        eventually(tty.exists, "the line is there")
        guest = subprocess.Popen([*SERVE, "--config", str(place / "c.json"), "--console", str(tty)])
        eventually((place / "run" / "holder.json").exists, "the guest is there")
        yield socket, tty
    finally:
        for process in (guest, socat):
            if process is not None:
                process.terminate()
                process.wait(PATIENCE)


@pytest.mark.anyio
@pytest.mark.needs_engine("socat")
async def test_the_client_over_a_serial_line(tmp_path: Path) -> None:
    with _over_a_socket(tmp_path) as (socket, _), anyio.fail_after(PATIENCE):
        async with connect(socket, "console") as client:
            await client.ping()
            assert (await client.exec("echo", ["over the line"])).stdout == "over the line\n"
            await client.write(str(tmp_path / "f"), b"\0\xff")
            assert await client.read(str(tmp_path / "f")) == b"\0\xff"
            large = random.Random(7).randbytes(3_000_000)
            await client.write(str(tmp_path / "large"), large)
            assert await client.read(str(tmp_path / "large")) == large
            await client.ping()


@pytest.mark.anyio
@pytest.mark.needs_engine("socat")
async def test_the_framed_link_over_a_serial_line_on_which_the_kernel_prints(tmp_path: Path) -> None:
    with _over_a_socket(tmp_path) as (socket, tty), anyio.fail_after(PATIENCE):
        async with GuestLink(Way(str(socket), console=True)) as link:
            content = random.Random(8).randbytes(2_000_000)

            async def pieces() -> AsyncIterator[bytes]:
                for start in range(0, len(content), 100_000):
                    yield content[start : start + 100_000]
                    print_as_the_kernel_does(tty)

            await link.toolbox.upload("w/f", pieces(), parents=True)
            came = b""
            cut = False
            async for piece in link.toolbox.download("w/f"):
                came += piece
                if not cut and len(came) > len(content) // 2:
                    print_as_the_kernel_does(tty, end=b"")
                    cut = True
            assert came == content
            running = await link.toolbox.start(Exec(argv=["sh", "-c", "read x; echo got $x; exit 5"], stdin=True))
            print_as_the_kernel_does(tty)
            await running.write(b"it\n")
            assert b"".join([piece.data async for piece in running.output()]) == b"got it\n"
            assert (await running.wait()).exit_code == 5


def print_as_the_kernel_does(tty: Path, end: bytes = b"\r\n") -> None:
    """In the middle of whatever is under way, by somebody else who has the line open; without an end it spoils what follows."""
    with tty.open("wb", buffering=0) as line:
        line.write(b"\r\n[   12.345678] virtio_blk: a message of the kernel" + end)
