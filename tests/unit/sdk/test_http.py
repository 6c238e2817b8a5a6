"""The REST client against a real server that answers as told."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stead.api.types import Node, User, UserPage, VersionAnswer
from stead.protocol.errors import SteadError
from stead.sdk.http import Http, fault_of, flat_query, retry_pause, segment

VERSION = {"version": "1", "protocol": "1.0", "api": "v1"}


class Script:
    """Answers in turn, the last for ever; None cuts the connection."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any, dict[str, str]] | None] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def say(self, status: int, body: Any, **headers: str) -> None:
        self.answers.append((status, body, headers))

    def fail(self, status: int, code: str) -> None:
        self.say(status, {"error": {"code": code, "message": "told so"}, "request_id": "rq_1"})


class Server(ThreadingHTTPServer):
    script: Script
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        script = self.server.script
        script.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
        if answer is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        status, data, headers = answer
        payload = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.script = Script()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def client(server: Server, *, token: str = "stead_x", patience: float = 20.0) -> Http:
    return Http(f"http://127.0.0.1:{server.server_address[1]}", token, patience=patience)


@pytest.mark.anyio
async def test_an_answer_is_decoded_and_the_credential_is_a_header(server: Server) -> None:
    server.script.say(200, VERSION)
    http = client(server)
    assert (await http.get("/version", VersionAnswer)).api == "v1"
    await http.close()
    method, path, headers, _ = server.script.seen[0]
    assert (method, path, headers["authorization"]) == ("GET", "/api/v1/version", "Bearer stead_x")


@pytest.mark.anyio
async def test_a_lost_connection_and_not_now_are_tried_again(server: Server) -> None:
    server.script.answers.append(None)
    server.script.fail(503, "draining")
    server.script.fail(409, "in_progress")
    server.script.say(200, VERSION)
    http = client(server)
    await http.get("/version", VersionAnswer)
    await http.close()
    assert len(server.script.seen) == 4


@pytest.mark.anyio
async def test_a_repeated_post_carries_the_same_key(server: Server) -> None:
    server.script.answers.append(None)
    server.script.say(200, VERSION)
    http = client(server)
    await http.post("/workspaces", VersionAnswer, {"name": "x"})
    await http.close()
    keys = {headers["idempotency-key"] for _, _, headers, _ in server.script.seen}
    assert len(server.script.seen) == 2
    assert len(keys) == 1


@pytest.mark.anyio
async def test_what_may_happen_twice_is_sent_once(server: Server) -> None:
    server.script.answers.append(None)
    http = client(server)
    with pytest.raises(SteadError) as caught:
        await http.post("/login", VersionAnswer, {}, repeat=False)
    with pytest.raises(SteadError):
        await http.patch("/nodes/x", Node, {}, '"1"')
    await http.close()
    assert caught.value.code == "unavailable"
    assert [method for method, *_ in server.script.seen] == ["POST", "PATCH"]


@pytest.mark.anyio
@pytest.mark.parametrize("code", ["not_found", "no_node", "node_unreachable", "timeout", "conflict"])
async def test_what_is_for_the_caller_to_judge_is_not_tried_again(server: Server, code: str) -> None:
    server.script.fail(409, code)
    http = client(server)
    with pytest.raises(SteadError) as caught:
        await http.get("/version", VersionAnswer)
    await http.close()
    assert (caught.value.code, caught.value.details["request_id"]) == (code, "rq_1")
    assert len(server.script.seen) == 1


@pytest.mark.anyio
async def test_patience_ends(server: Server) -> None:
    server.script.fail(503, "unavailable")
    http = client(server, patience=0.3)
    with pytest.raises(SteadError) as caught:
        await http.get("/version", VersionAnswer)
    await http.close()
    assert caught.value.code == "unavailable"
    assert len(server.script.seen) > 1


@pytest.mark.anyio
async def test_nobody_there_is_unavailable_and_says_where() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    http = Http(f"http://127.0.0.1:{port}", patience=0.0)
    with pytest.raises(SteadError, match=f"127.0.0.1:{port}") as caught:
        await http.get("/version", VersionAnswer)
    await http.close()
    assert caught.value.code == "unavailable"


@pytest.mark.anyio
async def test_pages_follow_one_another(server: Server) -> None:
    user = {"id": "us_1", "name": "ada", "role": "admin", "disabled": False, "created": 1.0, "version": 1}
    server.script.say(200, {"items": [user], "next": "more"})
    server.script.say(200, {"items": [user | {"name": "bob"}], "next": ""})
    http = client(server)
    names = [found.name async for found in http.pages("/users", UserPage)]
    await http.close()
    assert names == ["ada", "bob"]
    assert [path for _, path, _, _ in server.script.seen] == ["/api/v1/users", "/api/v1/users?after=more"]


@pytest.mark.anyio
async def test_a_change_is_bound_to_the_version_that_was_read(server: Server) -> None:
    user = {"id": "us_1", "name": "ada", "role": "admin", "disabled": False, "created": 1.0, "version": 7}
    server.script.say(200, user, etag='"7"')
    server.script.say(200, user)
    http = client(server)
    await http.change("/users/us_1", User, {"role": "member"})
    await http.close()
    assert server.script.seen[1][2]["if-match"] == '"7"'


@pytest.mark.anyio
async def test_an_answer_of_another_shape_is_malformed(server: Server) -> None:
    server.script.say(200, {"version": 1})
    http = client(server)
    with pytest.raises(SteadError) as caught:
        await http.get("/version", VersionAnswer)
    await http.close()
    assert caught.value.code == "malformed"


def test_a_proxys_answer_has_a_code_too() -> None:
    assert fault_of(502, b"<html>").code == "unavailable"
    assert fault_of(401, b"").code == "unauthenticated"
    assert fault_of(418, b"").code == "internal"


def test_pauses_have_full_jitter_below_a_bound_that_doubles() -> None:
    assert [round(retry_pause(n, lambda: 1.0), 3) for n in (0, 1, 2, 20)] == [0.1, 0.2, 0.4, 3.0]
    assert retry_pause(5, lambda: 0.0) == 0.0


def test_queries_leave_out_what_is_empty() -> None:
    query = {"a": "", "b": None, "c": "x", "d": False, "label": {"k": "v", "l": "w"}, "limit": 0}
    assert flat_query(query) == [("c", "x"), ("d", "false"), ("label", "k=v"), ("label", "l=w")]


def test_a_reference_is_one_segment_whatever_was_typed() -> None:
    assert segment("../users?x#y") == "..%2Fusers%3Fx%23y"
    with pytest.raises(SteadError):
        segment("")
