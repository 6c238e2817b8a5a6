"""WebSockets: the client against our small server and against a real ASGI server, which hands its transport over or not."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
import uvicorn

from stead.control.http.upgrade import Upgrade
from stead.protocol.codec import MESSAGE_BYTES
from stead.protocol.errors import SteadError
from stead.transport import websocket
from stead.transport.peer import Peer
from support.deadline import eventually_async
from unit.transport.parts import PATIENCE, PATTERN, Client, Recorder, Server, call, read_all

pytestmark = pytest.mark.anyio


async def echo(connection: Any, path: str = "", headers: Mapping[str, str] | None = None) -> None:
    while (message := await connection.receive()) is not None:
        await connection.send(message)


@asynccontextmanager
async def uvicorn_server(app: Any, ws: Any = "websockets-sansio") -> AsyncIterator[int]:
    """A real ASGI server on a free port, as Stead runs it."""
    config = uvicorn.Config(
        app,
        port=0,
        ws=ws,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_level="warning",
        lifespan="off",
        ws_max_size=MESSAGE_BYTES,
    )
    server = uvicorn.Server(config)
    server.config.load()
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(server._serve)
            await eventually_async(lambda: server.started, "the server listens")
            yield server.servers[0].sockets[0].getsockname()[1]
            server.should_exit = True


def asgi(attend: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/refused":
            await websocket.refuse(receive, send, 401, b'{"error":{"code":"unauthenticated","message":"who?"}}')
        elif scope["path"] == "/plain":
            await websocket.refuse(receive, send, 403, b"no")
        else:
            await attend(await websocket.accept(receive, send, scope))

    return app


@asynccontextmanager
async def served(kind: str, attend: Any) -> AsyncIterator[str]:
    if kind == "own":
        async with websocket.serve(attend, "127.0.0.1", 0) as port:
            yield f"ws://127.0.0.1:{port}"
    else:
        async with uvicorn_server(asgi(attend), Upgrade if kind == "handed over" else "websockets-sansio") as port:
            yield f"ws://127.0.0.1:{port}"


servers = pytest.mark.parametrize("kind", ["own", "asgi", "handed over"])


@servers
async def test_messages_keep_their_kind_also_when_handed_over_at_once(kind: str) -> None:
    async with served(kind, echo) as url:
        connection = await websocket.connect(url, proxy=None)
        await connection.send("text é")
        await connection.send(b"\x00\xff")
        assert connection.ready()
        connection.put(["a", b"b"])
        assert [await connection.receive() for _ in range(4)] == ["text é", b"\x00\xff", "a", b"b"]
        await connection.close()
        assert await connection.receive() is None
        assert not connection.ready()
        connection.put(["dropped"])
        with pytest.raises(SteadError) as caught:
            await connection.send("late")
        assert caught.value.code == "unavailable"


@servers
async def test_a_message_over_the_limit_ends_the_connection(kind: str) -> None:
    reasons: list[str] = []

    async def attend(connection: Any, path: str = "", headers: Mapping[str, str] | None = None) -> None:
        try:
            await echo(connection)
            reasons.append("ended")
        except SteadError as error:
            reasons.append(error.code)

    async with served(kind, attend) as url:
        connection = await websocket.connect(url, proxy=None)
        await connection.send(bytes(MESSAGE_BYTES))
        assert len(await connection.receive() or b"") == MESSAGE_BYTES
        with pytest.raises(SteadError) as caught:
            await connection.send(bytes(MESSAGE_BYTES + 1))  # the server may close before it has all of it
            assert await connection.receive() is not None
        assert caught.value.code == "too_large"
        await eventually_async(lambda: reasons == ["too_large"], "the server knows why")


async def test_who_sends_on_learns_that_it_was_too_large() -> None:
    async def attend(connection: websocket.WebSocket, path: str, headers: Mapping[str, str]) -> None:
        await connection.close(1009)

    async with websocket.serve(attend, "127.0.0.1", 0) as port:
        connection = await websocket.connect(f"ws://127.0.0.1:{port}", proxy=None)
        await eventually_async(lambda: not connection.ready(), "the server closed")
        with pytest.raises(SteadError) as caught:
            await connection.send("more")
        assert caught.value.code == "too_large"


async def test_a_refusal_says_what_the_server_said() -> None:
    async with served("asgi", echo) as url:
        for path, code, message in (("/refused", "unauthenticated", "who?"), ("/plain", "forbidden", "403")):
            with pytest.raises(SteadError) as caught:
                await websocket.connect(url + path, proxy=None)
            assert caught.value.code == code
            assert message in caught.value.message


@pytest.mark.parametrize("url,code", [("ws://127.0.0.1:1/", "unavailable"), ("http://x/", "invalid")])
async def test_no_server_and_no_url_are_typed(url: str, code: str) -> None:
    with pytest.raises(SteadError) as caught:
        await websocket.connect(url, proxy=None)
    assert caught.value.code == code


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Switching", b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"])
async def test_a_server_that_fails_or_hangs_up_during_the_handshake_is_unavailable(answer: bytes) -> None:
    async def hang_up(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, hang_up)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with pytest.raises(SteadError) as caught:
            await websocket.connect(f"ws://127.0.0.1:{port}/", proxy=None)
        assert caught.value.code == "unavailable"
        group.cancel_scope.cancel()


async def test_headers_and_path_reach_the_server() -> None:
    seen: list[tuple[str, str]] = []

    async def attend(connection: websocket.WebSocket, path: str, headers: Mapping[str, str]) -> None:
        seen.append((path, headers["authorization"]))

    async with websocket.serve(attend, "127.0.0.1", 0) as port:
        connection = await websocket.connect(
            f"ws://127.0.0.1:{port}/api/v1/link", {"Authorization": "Bearer x"}, proxy=None
        )
        assert await connection.receive() is None
    assert seen == [("/api/v1/link", "Bearer x")]


@servers
async def test_a_link_with_streams_runs_over_it(kind: str) -> None:
    client = Client()
    async with Server().running() as server:

        async def attend(connection: Any, path: str = "", headers: Mapping[str, str] | None = None) -> None:
            await Peer(connection, server, name="client").run()

        async with served(kind, attend) as url:
            peer = Peer(await websocket.connect(url, proxy=None), client, name="server")
            server.group.start_soon(peer.run)
            client.ends.attach(peer)
            with anyio.fail_after(PATIENCE):
                stream = await client.ends.open("ws_1", "echo")
                async with anyio.create_task_group() as group:

                    async def write() -> None:
                        for _ in range(100):
                            await stream.send(PATTERN)
                        await stream.end()

                    group.start_soon(write)
                    assert await read_all(stream) == PATTERN * 100
                await peer.close()


@servers
async def test_large_answers_pass_while_the_connection_is_congested(kind: str) -> None:
    async def attend(connection: Any, path: str = "", headers: Mapping[str, str] | None = None) -> None:
        await Peer(connection, Recorder(), name="client").run()

    async with served(kind, attend) as url, anyio.create_task_group() as group:
        peer = Peer(await websocket.connect(url, proxy=None), Recorder(), name="server")
        group.start_soon(peer.run)
        got: list[int] = []

        async def ask(size: int) -> None:
            got.append(len(await peer.request(call("echo", "x" * size))))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as asking:
                for size in range(100_000, 1_500_000, 100_000):
                    asking.start_soon(ask, size)
        assert sorted(got) == list(range(100_000, 1_500_000, 100_000))
        await peer.close()


@servers
@pytest.mark.parametrize("message,code", [(b"\x03", 1002), ("x" * 3 + "not json", 1000)])
async def test_a_malformed_frame_closes_with_its_code_and_a_malformed_text_does_not(
    kind: str, message: str | bytes, code: int
) -> None:
    async def attend(connection: Any, path: str = "", headers: Mapping[str, str] | None = None) -> None:
        await Peer(connection, Recorder(), name="client").run()

    async with served(kind, attend) as url:
        connection = await websocket.connect(url, proxy=None)
        await connection.send(message)
        if code == 1000:
            await connection.send('{"type":"link.ping","request_id":"p"}')
            assert '"ok":true' in str(await connection.receive())
            await connection.close()
        else:
            with anyio.fail_after(PATIENCE):
                assert await connection.receive() is None
            assert connection.close_code == code


async def test_a_proxy_of_the_environment_is_asked_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for proxy, code in (("http://127.0.0.1:9", "unavailable"), ("nonsense", "invalid")):
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(SteadError) as caught:
            await websocket.connect("ws://stead.example/")
        assert caught.value.code == code
        async with websocket.serve(echo, "127.0.0.1", 0) as port:
            connection = await websocket.connect(f"ws://127.0.0.1:{port}/")
            await connection.send("through")
            assert await connection.receive() == "through"
            await connection.close()
