"""WebSockets as `Messages`: the client, a small server, and the adapter for ASGI servers.

Contract: `connect(url, headers=...)` ("unauthenticated", "forbidden", "version_unsupported" ... as the server answered,
"unavailable" when it cannot be reached); `serve(on_connection, host, port)`; `accept(receive, send, scope)` and
`refuse(receive, send, status, body)` for raw ASGI. Credentials go in headers, never in the URL. No compression; keepalive
is the link's own ping. A message over the limit closes the connection with 1009; both sides' calls then raise "too_large".

Libraries do the handshake. After it the client, and the server where it hands its transport over (the scope's extension
`HANDOVER`: a `Handover`), go on as `Wire`; other ASGI servers are spoken to in events.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as ws_serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI
from websockets.protocol import State

from stead.protocol.codec import MESSAGE_BYTES
from stead.protocol.connections import Outgoing, whole
from stead.protocol.errors import BY_STATUS, Fault, SteadError
from stead.transport.tcp import loopback
from stead.transport.wire import Wire

WRITE_BYTES = 256 << 10
HANDOVER = "stead.transport"
"""The extension of an ASGI scope whose server hands its transport over."""
OPEN_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class WebSocket:
    """A connection of the small server below."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            if _too_large(closed):
                raise SteadError("too_large", f"a message has at most {MESSAGE_BYTES} bytes") from None
            return None

    async def send(self, message: str | bytes) -> None:
        """Returns when the message is taken; the other side may refuse it, and close, before it has all of it."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            if _too_large(closed):
                raise SteadError("too_large", f"a message has at most {MESSAGE_BYTES} bytes") from None
            raise SteadError("unavailable", "the connection is closed") from None

    def ready(self) -> bool:
        """Whether `put` may be called now."""
        return not self._connection.paused and self._connection.protocol.state is State.OPEN

    def put(self, messages: Sequence[Outgoing]) -> None:
        """Takes these in one write."""
        protocol = self._connection.protocol
        if protocol.state is not State.OPEN:
            return
        for message in map(whole, messages):
            if isinstance(message, str):
                protocol.send_text(message.encode())
            else:
                protocol.send_binary(message)
        self._connection.transport.write(b"".join(protocol.data_to_send()))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Says goodbye, bounded, then closes."""
        await self._connection.close(code, reason[:100])


def _too_large(closed: ConnectionClosed) -> bool:
    """Whether one of the sides closed because of the size of a message."""
    return any(said is not None and said.code == 1009 for said in (closed.sent, closed.rcvd))


class _Handshake(ClientConnection):
    """Asks and reads the answer; what follows an acceptance is left to whoever takes over."""

    rest = b""
    _head: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        if self._head is None:
            self.rest += data
            return
        before, self._head = len(self._head), self._head + data
        end = self._head.find(b"\r\n\r\n")
        if end < 0 or not self._head.startswith(b"HTTP/1.1 101 "):
            super().data_received(data)
            return
        cut = end + 4 - before
        self._head, self.rest = None, data[cut:]
        super().data_received(data[:cut])


async def connect(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    timeout: float = OPEN_TIMEOUT,
    proxy: str | bool | None = True,
) -> Wire:
    """A connection to a server of Stead; by a proxy of the environment, but to this machine."""
    asked = None if proxy is True and loopback(urlsplit(url).hostname or "") else proxy
    try:
        connection = await ws_connect(
            url,
            create_connection=_Handshake,
            additional_headers=dict(headers or {}),
            ssl=tls,
            compression=None,
            ping_interval=None,
            open_timeout=timeout,
            close_timeout=CLOSE_TIMEOUT,
            proxy=asked,  # type: ignore[arg-type]
        )
    except InvalidStatus as refused:
        raise _refusal(refused.response.status_code, bytes(refused.response.body or b"")) from None
    except InvalidURI:
        raise SteadError("invalid", "the address must be a ws:// or wss:// URL") from None
    except (InvalidProxy, ImportError) as error:
        raise SteadError("invalid", f"the proxy of the environment cannot be used: {error}") from None
    except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, EOFError) as error:
        raise SteadError("unavailable", f"the server cannot be reached: {str(error) or type(error).__name__}") from None
    assert isinstance(connection, _Handshake)
    if connection.state is not State.OPEN:
        raise SteadError("unavailable", "the server hung up at once")
    wire = Wire(connection.transport, client=True, lost=connection.connection_lost)
    wire.feed(connection.rest)
    return wire


class _Body(msgspec.Struct):
    """The error body of a refused upgrade."""

    error: Fault


def _refusal(status: int, body: bytes) -> SteadError:
    """The error the server sent, or one that fits the status."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        return SteadError.of(msgspec.json.decode(body, type=_Body).error)
    code = BY_STATUS.get(status, "unavailable")
    return SteadError(code, f"the server refused the connection with HTTP status {status}")


@contextlib.asynccontextmanager
async def serve(
    on_connection: Callable[[WebSocket, str, Mapping[str, str]], Awaitable[None]], host: str, port: int
) -> AsyncIterator[int]:
    """A small server; gives its port. `on_connection` has the connection, the path and the headers."""

    async def attend(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        await on_connection(WebSocket(connection), request.path, {k.lower(): v for k, v in request.headers.raw_items()})

    async with ws_serve(
        attend,
        host,
        port,
        compression=None,
        ping_interval=None,
        close_timeout=CLOSE_TIMEOUT,
        max_size=MESSAGE_BYTES,
        max_queue=16,
        write_limit=WRITE_BYTES,
    ) as server:
        yield next(iter(server.sockets)).getsockname()[1]


# --- ASGI


class AsgiWebSocket:
    """An accepted WebSocket of an ASGI server."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False
        self._rest: _Rest | None = None

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        if self._closed:
            return None
        event = await self._receive()
        if event["type"] != "websocket.receive":
            self._closed = True
            if event.get("code") == 1009:
                raise SteadError("too_large", f"a message has at most {MESSAGE_BYTES} bytes")
            return None
        text = event.get("text")
        data: str | bytes = event.get("bytes") if text is None else text
        return data

    async def send(self, message: str | bytes) -> None:
        """Returns when the message is taken."""
        await self._finish()
        if self._closed:
            raise SteadError("unavailable", "the connection is closed")
        try:
            await self._send(_event(message))
        except (OSError, RuntimeError):  # gone, or closed meanwhile, as servers say it
            self._closed = True
            raise SteadError("unavailable", "the connection is closed") from None

    def ready(self) -> bool:
        """Whether `put` may be called now."""
        return not self._closed and self._rest is None

    def put(self, messages: Sequence[Outgoing]) -> None:
        """Takes these at once; only where the server has to wait, the next `send` waits with it."""
        coroutine = self._send_all(messages)
        try:
            self._rest = _Rest(coroutine, coroutine.send(None))
        except StopIteration:
            return

    async def _send_all(self, messages: Sequence[Outgoing]) -> None:
        try:
            for message in map(whole, messages):
                await self._send(_event(message))
        except (OSError, RuntimeError):
            self._closed = True

    async def _finish(self) -> None:
        if self._rest is not None:
            rest = self._rest
            await rest
            self._rest = None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes; again changes nothing."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:100]})


class _Rest:
    """Goes on with a coroutine that was started without waiting and had to wait after all."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], first: Any) -> None:
        self._coroutine = coroutine
        self._first = first

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._first
        except BaseException as error:  # noqa: BLE001 - goes on inside the coroutine, which raises it
            self._coroutine.throw(error)
        yield from self._coroutine.__await__()


def _event(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, str):
        return {"type": "websocket.send", "text": message}
    return {"type": "websocket.send", "bytes": message}


class Handover(Protocol):
    """A server's connection after the handshake, for who takes it over."""

    transport: asyncio.Transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The server wants to know of the end."""


async def accept(receive: Receive, send: Send, scope: Mapping[str, Any] | None = None) -> Wire | AsgiWebSocket:
    """Answers the handshake."""
    event = await receive()
    if event["type"] != "websocket.connect":
        raise SteadError("unavailable", "the connection is closed")
    await send({"type": "websocket.accept"})
    handover: Handover | None = (scope or {}).get("extensions", {}).get(HANDOVER)
    if handover is None:
        return AsgiWebSocket(receive, send)
    return Wire(handover.transport, client=False, lost=handover.connection_lost)


async def refuse(receive: Receive, send: Send, status: int, body: bytes) -> None:
    """Refuses the handshake with a status and a JSON body."""
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
