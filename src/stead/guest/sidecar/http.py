"""A small HTTP/1.1 server over h11: JSON requests of a bounded size, bodies of any size as streams, server-sent events.

Contract: `serve(host, port, handle, token)` runs until cancelled and tells its `task_status` the address it listens on.
`handle` gets a `Request` and answers a `Response`, a `Download`, `Events`, or a `Switch` to another protocol. Who does not
send the token gets 401, who sends more than may be gets a 4xx, and 429 with `Retry-After` where the limiter says so: an answer
that flows counts until its end. Nothing that a client does or leaves undone holds up another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
import h11
import msgspec
from anyio.abc import TaskStatus

from stead.guest.limiter import Limiter
from stead.protocol.codec import decode_as
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.transport.begun import Begun

BODY_BYTES = 10 << 20
"""The largest JSON body."""
HEADER_BYTES = 32 << 10
CONNECTIONS = 64
IDLE_SECONDS = 60.0
"""How long a connection may wait for its next request, or a client take over the head of one."""
STALLED_SECONDS = 60.0
"""How long a client may take nothing, or send nothing of a body."""
KEEPALIVE_SECONDS = 30.0
"""How often an event stream on which nothing happens says that it is alive."""
LINGER_SECONDS = 2.0
"""How long a client that still sends is heard after its answer."""
PIECE = 1 << 16

log = logging.getLogger(__name__)


class Times(NamedTuple):
    """How long a server is patient."""

    idle: float = IDLE_SECONDS
    stalled: float = STALLED_SECONDS
    keepalive: float = KEEPALIVE_SECONDS


PATIENT = Times()

T = TypeVar("T")


class Response(NamedTuple):
    """An answer as a whole."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Download(NamedTuple):
    """An answer of so many bytes, as they come; `close` is called at the end, however it comes."""

    length: int
    pieces: AsyncGenerator[bytes, None]
    close: Callable[[], None]


class Event(NamedTuple):
    """One server-sent event; the data is JSON."""

    name: str
    data: object


class Events(NamedTuple):
    """An answer without end; an error becomes its last event."""

    events: AsyncGenerator[Event, None]


class Switch(NamedTuple):
    """The connection goes on as that protocol, for a request that asks for it."""

    protocol: str
    run: Callable[[Bytes], Awaitable[None]]


Answer = Response | Download | Events | Switch


class Request:
    """One request; its body is read by whoever wants it."""

    def __init__(self, head: h11.Request, body: AsyncIterator[bytes], gone: Callable[[], Awaitable[None]]) -> None:
        self.method = head.method.decode()
        self.path, self.query = _target(head.target.decode("latin-1"))
        self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
        self._body = body
        self._gone = gone

    async def attended(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work answers; it is cancelled when the client hangs up. Only once the body was read."""
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise SteadError("cancelled", "the client hung up")
        finally:
            for future in (working, gone):
                future.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)

    def stream(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        return self._body

    async def json(self, kind: type[T]) -> T:
        """The body as one of these; none at all is an empty object."""
        body = bytearray()
        async for piece in self._body:
            body += piece
            if len(body) > BODY_BYTES:
                raise SteadError("too_large", f"a JSON body has at most {BODY_BYTES} bytes")
        return decode_as(msgspec.json.Decoder(kind), bytes(body) or b"{}", "the JSON body")


def _target(target: str) -> tuple[str, dict[str, str]]:
    """Path and query, of a path as it is or of a whole URL, whose host is of no account. Text that is no UTF-8 is refused: it
    would become the name of another file."""
    try:
        if target.startswith("/"):
            path, _, query = target.partition("?")
        else:
            path, query = urlsplit(target)[2:4]
        found = parse_qsl(query, keep_blank_values=True, errors="strict")
        return unquote(path, errors="strict"), dict(found)
    except ValueError as error:
        raise SteadError("malformed", f"the request's target: {error}") from None


Handle = Callable[[Request], Awaitable[Answer]]


def _none(request: Request) -> bool:
    return False


class Held(NamedTuple):
    """What holds for all that needs a token, but for the requests that are `uncounted`."""

    limiter: Limiter
    uncounted: Callable[[Request], bool] = _none


async def serve(
    host: str,
    port: int,
    handle: Handle,
    token: str,
    *,
    free: frozenset[str] = frozenset({"/health"}),
    held: Held | None = None,
    times: Times = PATIENT,
    task_status: TaskStatus[tuple[str, int]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Listens until cancelled."""
    connections: dict[_Connection, None] = {}
    served = _Served(handle, f"Bearer {token}".encode(), free, held or Held(Limiter()), times)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(connections) >= CONNECTIONS and not _hung_up(connections):
            writer.close()
            return
        connection = _Connection(reader, writer, served)
        connections[connection] = None
        try:
            with contextlib.suppress(OSError, TimeoutError, h11.ProtocolError, asyncio.CancelledError):
                await connection.run()
                await _linger(reader, writer)
        finally:
            connections.pop(connection, None)
            writer.close()

    server = await asyncio.start_server(connected, host, port, limit=PIECE)
    try:
        name = server.sockets[0].getsockname()
        task_status.started((name[0], name[1]))
        await anyio.sleep_forever()
    finally:
        server.close()


def _hung_up(connections: dict[_Connection, None]) -> bool:
    """Whether one that asks for nothing, the oldest, could make room."""
    idle = next((connection for connection in connections if connection.idle), None)
    if idle is not None:
        del connections[idle]
        idle.hang_up()
    return idle is not None


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A client that still sends is heard for a moment: it would lose the answer if the connection broke under it."""
    writer.write_eof()
    async with asyncio.timeout(LINGER_SECONDS):
        while await reader.read(PIECE):
            pass


class _Served(NamedTuple):
    """What all connections of one server share."""

    handle: Handle
    credential: bytes
    free: frozenset[str]
    held: Held
    times: Times

    def enter(self, request: Request) -> bool:
        """Whether the limiter counts it from now on; raises where it may not be answered."""
        if request.path in self.free:
            return False
        given = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, self.credential):
            raise SteadError("unauthenticated", "send the token of this guest: Authorization: Bearer ...")
        if self.held.uncounted(request):
            return False
        self.held.limiter.enter()
        return True


def _refusal(error: SteadError, status: int = 0) -> Response:
    body = msgspec.json.encode({"success": False, "error": error.code.upper(), "message": error.message})
    wait = error.details.get("retry_after")
    again = () if wait is None else (("retry-after", str(math.ceil(wait))),)
    return Response(status or error.row.status, body, headers=again)


class _Switched:
    """The bytes of a connection that was switched."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, limit: int) -> bytes:
        try:
            return await self._reader.read(limit)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise SteadError("unavailable", f"the connection is gone: {error}") from None

    async def close(self) -> None:
        self._writer.close()


class _Connection:
    """One client, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, served: _Served) -> None:
        self._reader = reader
        self._writer = writer
        self._served = served
        self._times = served.times
        self.idle = True
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES)

    def hang_up(self) -> None:
        """Ends at once."""
        self._writer.transport.abort()

    async def run(self) -> None:
        """Until either side has had enough."""
        while True:
            self.idle = True
            try:
                async with asyncio.timeout(self._times.idle):
                    head = await self._event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint, "malformed", str(error))
                return
            if not isinstance(head, h11.Request):
                return
            self.idle = False
            if not await self._accepted(head):
                return
            await self._answer(head)
            if self._wire.our_state is not h11.DONE or self._wire.their_state is not h11.DONE:
                return
            self._wire.start_next_cycle()

    async def _accepted(self, head: h11.Request) -> bool:
        """Whether it is a request that we understand as its sender does; the end of one without a body is taken at once."""
        if head.http_version not in {b"1.0", b"1.1"}:
            await self._refuse(505, "version_unsupported", "HTTP/1.1 is spoken here")
            return False
        said = {name for name, _ in head.headers} & {b"content-length", b"transfer-encoding"}
        if len(said) == 2:
            await self._refuse(400, "malformed", "the length of the body is said in two ways")
            return False
        if not said:
            await self._event()
        return True

    async def _event(self) -> object:
        while True:
            event = self._wire.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._wire.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._wire.receive_data(await self._reader.read(PIECE))

    async def _gone(self) -> None:
        """Until the client hangs up. Of what it sends before its answer so much is kept; then it is not heard any more."""
        kept = 0
        while kept < HEADER_BYTES:
            data = await self._reader.read(HEADER_BYTES)
            if not data:
                return
            kept += len(data)
            self._wire.receive_data(data)
        await anyio.sleep_forever()

    async def _body(self) -> AsyncIterator[bytes]:
        while self._wire.their_state is h11.SEND_BODY:
            try:
                async with asyncio.timeout(self._times.stalled):
                    event = await self._event()
            except h11.RemoteProtocolError as error:
                raise SteadError("malformed", str(error)) from None
            except TimeoutError:
                raise SteadError("timeout", f"nothing of the body came for {self._times.stalled:g} s") from None
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif not isinstance(event, h11.EndOfMessage):
                raise SteadError("malformed", "the body ended too early")

    async def _answer(self, head: h11.Request) -> None:
        try:
            request = Request(head, self._body(), self._gone)
            counted = self._served.enter(request)
        except SteadError as error:
            await self._whole(_refusal(error))
            return
        try:
            await self._give(request, await self._handled(request))
        finally:
            if counted:
                self._served.held.limiter.leave()

    async def _handled(self, request: Request) -> Answer:
        try:
            return await self._served.handle(request)
        except SteadError as error:
            return _refusal(error)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return _refusal(SteadError("internal", "this is a bug; the guest's log has the details"))

    async def _give(self, request: Request, answer: Answer) -> None:
        if isinstance(answer, Response):
            await self._whole(answer)
        elif isinstance(answer, Switch):
            await self._switch(answer, request.headers.get("upgrade", ""))
        elif isinstance(answer, Download):
            await self._download(answer)
        else:
            await self._events(answer.events)

    async def _switch(self, answer: Switch, asked: str) -> None:
        wanted = answer.protocol in {name.strip().lower() for name in asked.split(",")}
        if not wanted or self._wire.their_state in {h11.DONE, h11.SEND_BODY}:
            await self._refuse(426, "invalid", f"ask for it: Connection: Upgrade, Upgrade: {answer.protocol}")
            return
        headers = [("connection", "upgrade"), ("upgrade", answer.protocol)]
        await self._send(h11.InformationalResponse(status_code=101, headers=headers))
        with contextlib.suppress(SteadError):
            await answer.run(Begun(_Switched(self._reader, self._writer), self._wire.trailing_data[0]))

    async def _refuse(self, status: int, code: str, message: str) -> None:
        await self._whole(_refusal(SteadError(code, message), status))

    async def _whole(self, answer: Response) -> None:
        heads = [*self._heads(answer.kind, len(answer.body)), *answer.headers]
        await self._send(h11.Response(status_code=answer.status, headers=heads))
        await self._send(h11.Data(data=answer.body))
        await self._send(h11.EndOfMessage())

    def _heads(self, kind: str, length: int) -> list[tuple[str, str]]:
        """What is left of the request's body is not waited for: the connection ends then."""
        ends = [] if self._wire.their_state is h11.DONE else [("connection", "close")]
        return [("content-type", kind), ("content-length", str(length)), *ends]

    async def _download(self, answer: Download) -> None:
        headers = self._heads("application/octet-stream", answer.length)
        try:
            await self._send(h11.Response(status_code=200, headers=headers))
            async with contextlib.aclosing(answer.pieces) as pieces:
                async for piece in pieces:
                    await self._send(h11.Data(data=piece))
            await self._send(h11.EndOfMessage())
        finally:
            answer.close()

    async def _events(self, events: AsyncGenerator[Event, None]) -> None:
        headers = [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("connection", "close")]
        await self._send(h11.Response(status_code=200, headers=headers))
        async with contextlib.aclosing(_told(events)) as told:
            await self._tell(told)
        await self._send(h11.EndOfMessage())

    async def _tell(self, events: AsyncIterator[Event]) -> None:
        """Events as they come, signs of life between them, until they end or the client goes away."""
        gone = asyncio.ensure_future(self._reader.read(1))
        following = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {gone, following}, timeout=self._times.keepalive, return_when=asyncio.FIRST_COMPLETED
                )
                if gone in done:
                    return
                if not done:
                    await self._send(h11.Data(data=b": alive\n\n"))
                    continue
                event = following.result()
                if event is None:
                    return
                data = msgspec.json.encode(event.data).decode()
                await self._send(h11.Data(data=f"event: {event.name}\ndata: {data}\n\n".encode()))
                following = asyncio.ensure_future(anext(events, None))
        finally:
            for future in (gone, following):
                future.cancel()
            await asyncio.gather(gone, following, return_exceptions=True)

    async def _send(self, event: h11.Event) -> None:
        data = self._wire.send(event)
        if data:
            self._writer.write(data)
            async with asyncio.timeout(self._times.stalled):
                await self._writer.drain()


async def _told(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """What goes wrong is the last event."""
    async with contextlib.aclosing(events):
        try:
            async for event in events:
                yield event
        except SteadError as error:
            yield Event("error", {"error": error.code.upper(), "message": error.message})
