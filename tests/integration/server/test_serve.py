"""The server as a process: signals, crashes, the files it leaves, sockets from outside."""

import json
import signal
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from integration.server.program import Program
from stead.control.files import Lock
from stead.protocol.errors import SteadError
from stead.protocol.frames import Frame
from stead.protocol.messages import ClientHello, GoAway, Message, Request, Watch
from stead.protocol.version import PROTOCOL
from stead.transport import websocket
from stead.transport.peer import Peer
from support.deadline import eventually, eventually_async

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server for the tests that leave it as it is."""
    with Program(tmp_path_factory.mktemp("server"), limits={"login_attempts": 1000}) as program:
        yield program


class Listener:
    """A client that only listens."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    async def request(self, peer: Peer, message: Request) -> Any:
        raise SteadError("method_not_found", "a client answers nothing")

    async def notice(self, peer: Peer, message: Message) -> None:
        self.heard.append(message)

    def frame(self, peer: Peer, frame: Frame) -> None:
        return

    async def closed(self, peer: Peer, reason: str) -> None:
        return


def address(program: Program, path: str = "/api/v1/link") -> str:
    return "ws" + program.url.removeprefix("http") + path


def bearer(secret: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", **more}


async def refusal(program: Program, path: str = "/api/v1/link", headers: dict[str, str] | None = None) -> str:
    with pytest.raises(SteadError) as caught:
        await websocket.connect(address(program, path), headers, proxy=None)
    return caught.value.code


# --- files and words -----------------------------------------------------------------------------------------------


def test_the_files_for_this_machine_are_private(server: Program) -> None:
    note = json.loads((server.data / "server.json").read_text())
    assert note == {"url": server.url, "pid": server.process.pid if server.process else 0}
    for name in ("server.json", "cli.token"):
        assert stat.S_IMODE((server.data / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    with server.client() as client:
        assert client.get("/whoami").json()["user"]["name"] == "admin"


def test_the_printed_login_works_once(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        code = eventually(lambda: program.said().rpartition("/login#")[2].split("\n")[0], "the login is printed")
        for expected in (200, 401):
            with program.client("") as nobody:
                assert nobody.post("/login", json={"code": code}).status_code == expected
        assert code not in "".join(line for line in program.said().splitlines() if line.startswith("{"))


def test_the_log_and_the_words_are_as_wanted(tmp_path: Path) -> None:
    with Program(tmp_path, public_url="https://stead.example", log_level="error") as program:
        eventually(lambda: "https://stead.example/login#" in program.said(), "the login is printed")
    assert '"info"' not in program.said()
    quiet = len(program.said())
    with Program(tmp_path, log_level="info") as program:
        pass
    assert '"level":"info"' in program.said()[quiet:].replace(" ", "")


def test_a_second_server_for_the_same_data_is_refused(server: Program) -> None:
    assert not Lock(server.data / "server.lock").take()
    second = Program(server.data.parent)
    with pytest.raises(AssertionError, match="already runs"):
        second.start()


def test_a_taken_port_is_told(server: Program, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="cannot listen"):
        Program(tmp_path, port=server.flags["port"]).start()


# --- what is malformed ---------------------------------------------------------------------------------------------


UPGRADE = (
    b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def raw(program: Program, *pieces: bytes) -> bytes:
    """What the server answers to these bytes."""
    host, port = program.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as wire:
        try:
            for piece in pieces:
                wire.sendall(piece)
            answer = b""
            while b"\r\n\r\n" not in answer and (more := wire.recv(65_536)):
                answer += more
        except ConnectionError:
            return b""
        return answer


def test_endless_headers_are_cut_off(server: Program) -> None:
    line = b"x-filler: " + b"x" * 8_000 + b"\r\n"
    answer = raw(server, b"GET / HTTP/1.1\r\nhost: x\r\n", *([line] * 20))
    assert answer == b"" or b" 431 " in answer
    answer = raw(server, b"GET / HTTP/1.1\r\nx: ", *([b"x" * 9_000] * 20))
    assert answer == b"" or b" 431 " in answer
    answer = raw(server, b"GET /" + b"x" * 150_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer == b"" or b" 431 " in answer


def test_who_dawdles_is_cut_off_but_no_link(tmp_path: Path) -> None:
    half = b"GET /api/v1/health HTTP/1.1\r\nhost: x\r\n"
    post = b"POST /api/v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
    with Program(tmp_path, limits={"head_seconds": 3.0}) as program, ThreadPoolExecutor() as others:
        host, port = program.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as link:
            link.sendall(f"GET /api/v1/link HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {program.token}\r\n".encode())
            link.sendall(UPGRADE)
            assert b" 101 " in link.recv(65_536)
            silent, headless, bodiless = others.map(lambda pieces: raw(program, *pieces), ([], [half], [post]))
            assert (silent, headless) == (b"", b"")
            assert b" 504 " in bodiless
            link.setblocking(False)
            with pytest.raises(BlockingIOError):
                link.recv(65_536)


def test_what_is_no_http_is_refused(server: Program) -> None:
    assert b" 400 " in raw(server, b"\x16\x03\x01nonsense\r\n\r\n")
    with server.client() as client:
        assert client.get("/health").status_code == 200


def test_large_bodies_flow_and_small_limits_hold(server: Program) -> None:
    with server.client() as client:
        answer = client.post("/users", content=b"x" * (8 << 20))
        assert answer.status_code == 413


# --- links ---------------------------------------------------------------------------------------------------------


async def test_who_may_not_open_a_link(server: Program) -> None:
    assert await refusal(server) == "unauthenticated"
    assert await refusal(server, headers=bearer("stead_wrong")) == "unauthenticated"
    assert await refusal(server, "/api/v1/link?ticket=steadt_wrong", {"Origin": server.url}) == "unauthenticated"
    assert await refusal(server, headers=bearer(server.token, Origin="http://evil.example")) == "origin_refused"
    assert await refusal(server, "/api/v1/nothing", bearer(server.token)) == "not_found"
    assert await refusal(server, "/api/v1/nodes/connect", {"Origin": server.url}) == "origin_refused"


async def test_a_ticket_opens_one_link(server: Program) -> None:
    with server.client() as client:
        ticket = client.post("/tickets").json()["ticket"]
    path, headers = f"/api/v1/link?ticket={ticket}", {"Origin": server.url}
    assert await refusal(server, path) == "origin_refused"
    link = await websocket.connect(address(server, path), headers, proxy=None)
    await link.close()
    assert await refusal(server, path, headers) == "unauthenticated"


async def test_a_message_that_is_too_large_closes_the_link(server: Program) -> None:
    link = await websocket.connect(address(server), bearer(server.token), proxy=None)
    with anyio.fail_after(60), pytest.raises(SteadError) as caught:
        await link.send("x" * ((2 << 20) + 1))  # may be told already here: the server closes before it has all of it
        while await link.receive() is not None:
            pass
        raise SteadError("unavailable", "closed")
    assert caught.value.code in {"too_large", "unavailable"}  # a reset can overtake the reason


async def test_a_revoked_token_ends_its_link_within_a_second(server: Program) -> None:
    with server.client() as client:
        made = client.post("/tokens", json={"name": "short"}).json()
        listener = Listener()
        link = await websocket.connect(address(server), bearer(made["secret"]), proxy=None)
        peer = Peer(link, listener, name="server")
        async with anyio.create_task_group() as group:
            group.start_soon(peer.run)
            await peer.send(ClientHello(protocol=PROTOCOL, client="test", boot_id="b"))
            await eventually_async(lambda: listener.heard, "a welcome")
            start = anyio.current_time()
            client.delete(f"/tokens/{made['token']['id']}")
            with anyio.fail_after(60):
                await peer.closed.wait()
            assert anyio.current_time() - start < 10


async def test_events_arrive_over_a_real_link(server: Program) -> None:
    listener = Listener()
    link = await websocket.connect(address(server), bearer(server.token), proxy=None)
    peer = Peer(link, listener, name="server")
    async with anyio.create_task_group() as group:
        group.start_soon(peer.run)
        await peer.send(ClientHello(protocol=PROTOCOL, client="test", boot_id="b"))
        await eventually_async(lambda: listener.heard, "a welcome")
        assert "cursor" in await peer.request(Watch(request_id=""))
        await peer.close()


# --- stopping and crashing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    program = Program(tmp_path).start()
    listener = Listener()
    link = await websocket.connect(address(program), bearer(program.token), proxy=None)
    peer = Peer(link, listener, name="server")
    async with anyio.create_task_group() as group:
        group.start_soon(peer.run)
        await peer.send(ClientHello(protocol=PROTOCOL, client="test", boot_id="b"))
        await eventually_async(lambda: listener.heard, "a welcome")
        program.signal(number)
        with anyio.fail_after(90):
            await peer.closed.wait()
    assert any(isinstance(message, GoAway) for message in listener.heard)
    assert await anyio.to_thread.run_sync(program.wait) == 0
    assert not (program.data / "server.json").exists()


def busy_request(program: Program) -> socket.socket:
    """A request whose body never comes whole."""
    host, port = program.url.removeprefix("http://").split(":")
    wire = socket.create_connection((host, int(port)))
    head = f"POST /api/v1/users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {program.token}\r\n"
    wire.sendall(head.encode() + b"content-length: 100\r\ncontent-type: application/json\r\n\r\n{")
    return wire


def test_a_second_signal_stops_it_at_once(tmp_path: Path) -> None:
    program = Program(tmp_path, limits={"shutdown_seconds": 600}).start()
    with busy_request(program):
        program.signal(signal.SIGTERM)
        eventually(lambda: "stopping" in program.said(), "it begins to stop")
        program.signal(signal.SIGTERM)
        assert program.wait() == 130


def test_a_stop_is_bounded_also_with_a_request_under_way(tmp_path: Path) -> None:
    program = Program(tmp_path, limits={"shutdown_seconds": 1}).start()
    with busy_request(program):
        program.signal(signal.SIGTERM)
        assert program.wait(60) == 0


def test_a_crash_keeps_what_was_promised(tmp_path: Path) -> None:
    program = Program(tmp_path).start()
    own = program.token
    key = {"Idempotency-Key": "before the crash"}
    with program.client() as client:
        token = client.post("/tokens", json={"name": "ci"}, headers=key)
        user = client.post("/users", json={"name": "mia"}).json()
    with httpx2.Client(base_url=program.url, trust_env=False) as browser:
        assert browser.post("/api/v1/login", json={"code": user["login"]}).status_code == 200
        program.kill()
        program.start()
        try:
            assert browser.get("/api/v1/whoami").json()["user"]["name"] == "mia"
            assert program.token == own
            with program.client(token.json()["secret"]) as client:
                assert client.get("/whoami").status_code == 200
            with program.client() as client:
                again = client.post("/tokens", json={"name": "ci"}, headers=key)
                assert again.content == token.content
                audited = client.get("/audit?action=createToken").json()["items"]
                assert [entry["outcome"] for entry in audited] == ["ok"]
        finally:
            program.signal(signal.SIGTERM)
            program.wait()
