"""A small HTTP/1.1 client: whole requests, whole answers, connections that are kept. A tenth of the work of a general one.

Contract: `Pool(url, timeout)`; `await pool.ask(method, target, headers, body)` answers an `Answered` or raises
"unavailable" (the server cannot be reached, went away or is silent), "malformed" (what came is not HTTP), "invalid" (what was
asked cannot be sent). Proxies of the environment are used as everywhere, but not for this machine. Nothing is repeated and no
redirect followed.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import sys
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from stead.protocol.errors import SteadError
from stead.transport.tcp import loopback

MOST_CONNECTIONS = 100
IDLE_SECONDS = 30.0
"""Below what servers and proxies keep idle connections for."""
HEAD_BYTES = 64 << 10
BODY_BYTES = 256 << 20
_NO_BODY = frozenset({204, 304})
_SENDABLE = re.compile(r"[\x20-\x7e]*")
_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{1,15}")
_TARGET = re.compile(r"[\x21-\x7e]+")


class Answered(msgspec.Struct):
    """An answer taken whole; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        return self.headers.get("etag", "")


class Pool:
    """The connections to one server."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._server = _split(url)
        self._timeout = timeout
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._proxy = proxy_for(self._server)
        self._tls: ssl.SSLContext | None = None

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answered:
        """One request and its answer."""
        request = self._head(method, target, headers, len(body)) + body
        async with self._room:
            connection = self._kept() or await self._open()
            self._busy.add(connection)
            try:
                answer = await connection.ask(request, self._timeout, bodiless=method == "HEAD")
            except BaseException:
                connection.close()
                raise
            finally:
                self._busy.discard(connection)
        if connection.usable:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Lets go of every connection."""
        for connection in [*self._idle, *self._busy]:
            connection.close()
        self._idle.clear()

    def _head(self, method: str, target: str, headers: Mapping[str, str], length: int) -> bytes:
        if _TARGET.fullmatch(target) is None:
            raise SteadError("invalid", "the path of a request has characters that must be quoted")
        plain = self._proxy is not None and self._server.scheme == "http"
        lines = [f"{method} {self._origin if plain else ''}{target} HTTP/1.1", f"Host: {self._host}"]
        if plain and self._proxy is not None:
            lines += _proxy_lines(self._proxy)
        lines += [f"{name}: {_sendable(name, value)}" for name, value in headers.items()]
        if length or method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")

    @property
    def _origin(self) -> str:
        return f"{self._server.scheme}://{self._host}"

    @property
    def _host(self) -> str:
        return self._server.netloc.rpartition("@")[2]

    def _kept(self) -> _Connection | None:
        """The connection used last, if it still stands."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and time.monotonic() - connection.since < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _open(self) -> _Connection:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connect()
        except TimeoutError as error:
            raise SteadError("unavailable", f"{self._near} did not answer in time") from error
        except OSError as error:
            raise SteadError("unavailable", f"cannot reach {self._near}: {_reason(error)}") from error

    @property
    def _near(self) -> str:
        """What is connected to, for messages."""
        if self._proxy is None:
            return self._url
        return f"the proxy {_bracketed(self._proxy.hostname or '')}:{_port(self._proxy)}"

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        near = self._proxy or self._server
        secure = self._server.scheme == "https"
        tls = self._context() if secure and self._proxy is None else None
        name = self._server.hostname if tls is not None else None
        _, connection = await loop.create_connection(
            lambda: _Connection(self._url), near.hostname or "", _port(near), ssl=tls, server_hostname=name
        )
        if secure and self._proxy is not None:
            try:
                await self._tunnel(connection, self._proxy)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _tunnel(self, connection: _Connection, proxy: SplitResult) -> None:
        """Through a proxy to a server that speaks TLS."""
        far = f"{_bracketed(self._server.hostname or '')}:{_port(self._server)}"
        lines = [f"CONNECT {far} HTTP/1.1", f"Host: {far}", *_proxy_lines(proxy)]
        answer = await connection.ask(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"), self._timeout, bodiless=True)
        if not 200 <= answer.status < 300:
            raise SteadError("unavailable", f"the proxy does not reach {self._url}: status {answer.status}")
        await connection.secure(self._context(), self._server.hostname or "")

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, url: str) -> None:
        self.since = time.monotonic()
        self._url = url
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answered] | None = None
        self._reader: _Reader | None = None
        self._keep = True

    @property
    def usable(self) -> bool:
        """Whether another request may go over it."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes, timeout: float, *, bodiless: bool) -> Answered:
        """Sends the request and takes the answer."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._reader = _Reader(bodiless=bodiless)
        if self._transport is None:
            self._fail("the connection was lost")
        else:
            self._transport.write(request)
        timer = loop.call_later(timeout, self._fail, "it did not answer in time")
        try:
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def secure(self, context: ssl.SSLContext, name: str) -> None:
        """From now on with TLS."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._transport = await loop.start_tls(self._transport, self, context, server_hostname=name)

    def close(self) -> None:
        self._keep = False
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._reader is None or self._waiter is None or self._waiter.done():
            self.close()
            return
        try:
            answer = self._reader.feed(data)
        except SteadError as error:
            self._waiter.set_exception(error)
            self.close()
            return
        if answer is not None:
            self._done(answer, keep=self._reader.keep)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        whole = None if self._reader is None else self._reader.ended()
        if whole is not None and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(whole)
        else:
            self._fail("the connection was lost" if exc is None else _reason(exc))

    def _done(self, answer: Answered, *, keep: bool) -> None:
        assert self._waiter is not None
        self._waiter.set_result(answer)
        self._reader = None
        self.since = time.monotonic()
        if not keep:
            self.close()

    def _fail(self, reason: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(SteadError("unavailable", f"cannot reach {self._url}: {reason}"))


class _Reader:
    """Takes one answer apart as it comes."""

    def __init__(self, *, bodiless: bool) -> None:
        self.keep = True
        self._bodiless = bodiless
        self._data = bytearray()
        self._status = 0
        self._headers: dict[str, str] = {}
        self._length: int | None = None
        self._chunks: bytearray | None = None

    def feed(self, data: bytes) -> Answered | None:
        """The answer, once it is whole."""
        self._data += data
        while not self._status:
            end = self._data.find(b"\r\n\r\n")
            if end < 0 or end > HEAD_BYTES:
                if len(self._data) > HEAD_BYTES:
                    raise SteadError("malformed", "the head of the server's answer is too long")
                return None
            self._head(bytes(self._data[:end]))
            del self._data[: end + 4]
        if len(self._data) > BODY_BYTES:
            raise SteadError("too_large", f"an answer has at most {BODY_BYTES} bytes")
        return self._body()

    def ended(self) -> Answered | None:
        """The answer whose end is that of the connection."""
        if self._status and self._length is None and self._chunks is None:
            return self._answer(bytes(self._data))
        return None

    def _head(self, head: bytes) -> None:
        first, *rest = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
            raise SteadError("malformed", "the server's answer is not HTTP/1.1")
        if words[1].startswith("1"):
            return
        self._headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)
        }
        self._status = int(words[1])
        self.keep = words[0] != "HTTP/1.0" and self._headers.get("connection", "").lower() != "close"
        self._length = self._length_of_body()

    def _length_of_body(self) -> int | None:
        """None where chunks or the end of the connection tell."""
        if self._bodiless or self._status in _NO_BODY:
            return 0
        if self._headers.get("transfer-encoding", "").lower().endswith("chunked"):
            self._chunks = bytearray()
            return None
        length = self._headers.get("content-length")
        if length is None:
            self.keep = False
            return None
        if not (length.isascii() and length.isdigit()):
            raise SteadError("malformed", "the server's answer has no proper length")
        return int(length)

    def _body(self) -> Answered | None:
        if self._chunks is not None:
            return self._chunked(self._chunks)
        if self._length is None or len(self._data) < self._length:
            return None
        if len(self._data) > self._length:
            self.keep = False
        return self._answer(bytes(self._data[: self._length]))

    def _chunked(self, whole: bytearray) -> Answered | None:
        while (line := self._data.find(b"\r\n")) >= 0:
            size = _hexadecimal(bytes(self._data[:line]))
            if len(whole) + size > BODY_BYTES:
                raise SteadError("too_large", f"an answer has at most {BODY_BYTES} bytes")
            if size == 0:
                return self._trailed(whole, line)
            if len(self._data) < line + size + 4:
                return None
            whole += self._data[line + 2 : line + 2 + size]
            del self._data[: line + size + 4]
        return None

    def _trailed(self, whole: bytearray, line: int) -> Answered | None:
        """The end of the chunks, once the lines after the last one are here."""
        if self._data[line : line + 4] == b"\r\n\r\n" or self._data.find(b"\r\n\r\n", line) >= 0:
            return self._answer(bytes(whole))
        return None

    def _answer(self, body: bytes) -> Answered:
        return Answered(self._status, self._headers, body)


def proxy_for(server: SplitResult) -> SplitResult | None:
    """The proxy that the environment, or the system, asks for."""
    if loopback(server.hostname or ""):
        return None
    asked = any(name.lower().endswith("_proxy") and value for name, value in os.environ.items())
    if not asked and sys.platform not in {"darwin", "win32"}:
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    address = proxies.get(server.scheme) or proxies.get("all")
    if not address or proxy_bypass(server.netloc.rpartition("@")[2]):
        return None
    proxy = _split(address if "://" in address else f"http://{address}")
    if proxy.scheme != "http":
        raise SteadError("invalid", f"a proxy by {proxy.scheme} is not supported here")
    return proxy


def _proxy_lines(proxy: SplitResult) -> list[str]:
    if proxy.username is None:
        return []
    from base64 import b64encode

    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return [f"Proxy-Authorization: Basic {b64encode(secret).decode()}"]


def _split(url: str) -> SplitResult:
    try:
        found = urlsplit(url)
        _port(found)
    except ValueError as error:
        raise SteadError("invalid", f"not an address: {error}") from None
    return found


def _port(address: SplitResult) -> int:
    return address.port or (443 if address.scheme == "https" else 80)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _sendable(name: str, value: str) -> str:
    if _SENDABLE.fullmatch(value) is None:
        raise SteadError("invalid", f"{name}: has characters that a header cannot have")
    return value


def _hexadecimal(text: bytes) -> int:
    digits = text.partition(b";")[0].strip()
    if _HEXADECIMAL.fullmatch(digits) is None:
        raise SteadError("malformed", "the server's answer is not HTTP/1.1")
    return int(digits, 16)


def _reason(error: BaseException) -> str:
    """What the system said."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    if str(error).startswith("Multiple exceptions"):
        return "none of its addresses answers"
    return str(error) or type(error).__name__
