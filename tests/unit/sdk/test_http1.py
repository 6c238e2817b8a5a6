"""The HTTP client against a server of bare bytes: every form of an answer, and everything that can go wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stead.protocol.errors import SteadError
from stead.sdk.http1 import Pool

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: 7\r\n\r\nhi"


class Bare:
    """Answers each request with the next of these pieces; what it was sent is kept."""

    def __init__(self, answers: list[list[bytes]], *, close: bool) -> None:
        self.answers = answers
        self.close = close
        self.requests: list[bytes] = []
        self.connections = 0
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                for piece in self.answers.pop(0):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.left.set()
            writer.close()


@asynccontextmanager
async def answering(
    *answers: list[bytes], close: bool = False, timeout: float = 30.0
) -> AsyncIterator[tuple[Bare, Pool]]:
    bare = Bare(list(answers), close=close)
    server = await asyncio.start_server(bare.serve, "127.0.0.1", 0)
    async with server:
        pool = Pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout)
        yield bare, pool
        pool.close()


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([OK], b"hi"),
        ([OK[:9], OK[9:30], OK[30:-1], OK[-1:]], b"hi"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", OK], b"hi"),
        (
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"3;x=y\r\nabc\r\n1",
                b"0\r\n" + b"d" * 16,
                b"\r\n0\r\n\r\n",
            ],
            b"abc" + b"d" * 16,
        ),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: x\r\n\r\n"], b"hi"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], b""),
    ],
)
async def test_every_form_of_an_answer(pieces: list[bytes], body: bytes) -> None:
    async with answering(pieces, [OK]) as (bare, pool):
        assert (await pool.ask("GET", "/x", {})).body == body
        assert (await pool.ask("GET", "/y", {})).etag == "7"
        assert bare.connections == 1


async def test_an_answer_that_ends_with_its_connection() -> None:
    async with answering([b"HTTP/1.1 200 OK\r\n\r\nall", b" of it"], [OK], close=True) as (bare, pool):
        assert (await pool.ask("GET", "/", {})).body == b"all of it"
        assert (await pool.ask("GET", "/", {})).body == b"hi"
        assert bare.connections == 2


async def test_a_connection_that_is_to_be_closed_is_not_used_again() -> None:
    last = OK.replace(b"\r\nETag", b"\r\nConnection: close\r\nETag")
    async with answering([last], [OK]) as (bare, pool):
        await pool.ask("GET", "/", {})
        await pool.ask("GET", "/", {})
        assert bare.connections == 2


async def test_the_request_is_what_was_asked() -> None:
    async with answering([OK]) as (bare, pool):
        await pool.ask("POST", "/a%20b?c=d", {"X-One": "two"})
        first, *headers = bare.requests[0].decode().split("\r\n")
        assert first == "POST /a%20b?c=d HTTP/1.1"
        assert {"X-One: two", "Content-Length: 0"} <= set(headers)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n", b"HTTP/1.1 \xb2\r\n\r\n", b"x" * 100_000]
)
async def test_what_is_not_http_is_malformed(answer: bytes) -> None:
    async with answering([answer]) as (_, pool):
        with pytest.raises(SteadError) as caught:
            await pool.ask("GET", "/", {})
        assert caught.value.code == "malformed"


@pytest.mark.parametrize("size", ["-1", "0x2", "z", ""])
async def test_a_chunk_without_a_proper_size_is_malformed(size: str) -> None:
    async with answering([f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nhi\r\n".encode()]) as (
        _,
        pool,
    ):
        with pytest.raises(SteadError) as caught:
            await pool.ask("GET", "/", {})
        assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("target", "value"), [("/a b", "x"), ("/a\r\nX: y", "x"), ("/é", "x"), ("/", "x\r\nEvil: 1"), ("/", "é")]
)
async def test_what_cannot_be_sent_is_invalid(target: str, value: str) -> None:
    async with answering([OK]) as (bare, pool):
        with pytest.raises(SteadError) as caught:
            await pool.ask("GET", target, {"X": value})
        assert caught.value.code == "invalid"
        assert bare.requests == []


async def test_half_an_answer_is_none() -> None:
    async with answering([OK[:-1]], close=True) as (_, pool):
        with pytest.raises(SteadError) as caught:
            await pool.ask("GET", "/", {})
        assert caught.value.code == "unavailable"


async def test_a_silent_server_is_given_up() -> None:
    async with answering([], timeout=0.05) as (bare, pool):
        with pytest.raises(SteadError, match="in time") as caught:
            await pool.ask("GET", "/", {})
        assert caught.value.code == "unavailable"
        await asyncio.wait_for(bare.left.wait(), 30)


async def test_a_request_that_nobody_waits_for_any_more_lets_go_of_its_connection() -> None:
    async with answering([]) as (bare, pool):
        task = asyncio.create_task(pool.ask("GET", "/", {}))
        while not bare.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait_for(bare.left.wait(), 30)


async def test_nobody_there_says_why() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(SteadError, match="Connection refused") as caught:
        await Pool(f"http://127.0.0.1:{port}", 30).ask("GET", "/", {})
    assert caught.value.code == "unavailable"


async def test_the_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering([OK]) as (bare, pool):
        monkeypatch.setenv("http_proxy", pool._url.replace("//", "//me:secret@"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        through = Pool("http://stead.example:1234", 30)
        assert (await through.ask("GET", "/x", {})).body == b"hi"
        through.close()
        first, *headers = bare.requests[0].decode().split("\r\n")
        assert first == "GET http://stead.example:1234/x HTTP/1.1"
        assert {"Host: stead.example:1234", "Proxy-Authorization: Basic bWU6c2VjcmV0"} <= set(headers)


async def test_a_proxy_that_does_not_reach_the_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering([b"HTTP/1.1 502 Bad Gateway\r\n\r\n"]) as (bare, pool):
        monkeypatch.setenv("https_proxy", pool._url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(SteadError, match="502"):
            await Pool("https://stead.example", 30).ask("GET", "/x", {})
        assert bare.requests[0].startswith(b"CONNECT stead.example:443 HTTP/1.1\r\n")


async def test_no_proxy_is_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with answering([OK]) as (_, pool):
        assert (await pool.ask("GET", "/", {})).body == b"hi"
    with pytest.raises(SteadError, match=r"the proxy 127\.0\.0\.1:9"):
        await Pool("http://stead.example", 30).ask("GET", "/x", {})


async def test_a_proxy_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering([]) as (bare, pool):
        monkeypatch.setenv("https_proxy", pool._url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(SteadError, match="in time"):
            await Pool("https://stead.example", 0.05).ask("GET", "/x", {})
        await asyncio.wait_for(bare.left.wait(), 30)
