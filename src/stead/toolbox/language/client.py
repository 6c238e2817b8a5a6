"""The base protocol of language servers over a process's pipes: messages framed by `Content-Length`, requests both ways.

Contract: `Client(process, folder, told)`; `serve()` reads until the server ends or misbehaves, and says why; meanwhile
`request` waits for an answer and `notify` tells. What the server asks is answered at once, mostly with nothing, so that it
never waits for us; what it tells goes to `told`. Every size is bounded: a message, what it sends in a while, what waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from typing import Any

import msgspec

from stead.protocol.errors import SteadError

MESSAGE_BYTES = 16 << 20
HEADERS = 16
WAITING_BYTES = 16 << 20
"""What may wait for a server that does not read."""
FLOOD_SECONDS = 10.0
FLOOD_BYTES = 128 << 20
FLOOD_MESSAGES = 20_000
"""More within `FLOOD_SECONDS` is no conversation."""
COMPLAINT_BYTES = 2000
DISCARD_SECONDS = 5.0
COMPLAINT_SECONDS = 0.2
"""How long its last words are waited for."""

METHOD_NOT_FOUND = -32601
CHANGED_MEANWHILE = frozenset({-32801, -32802})
"""Ask again: the content was modified, or the server cancelled it."""
_NOTHING = frozenset(
    {
        "client/registerCapability",
        "client/unregisterCapability",
        "window/workDoneProgress/create",
        "window/showMessageRequest",
        "workspace/diagnostic/refresh",
        "workspace/semanticTokens/refresh",
        "workspace/inlayHint/refresh",
        "workspace/codeLens/refresh",
    }
)


class AnsweredError(Exception):
    """The server answered a request with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Trouble(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Message(msgspec.Struct):
    id: int | str | None = None
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"null")
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Trouble | None = None


class _Items(msgspec.Struct):
    items: list[msgspec.Raw] = []


class _NonsenseError(Exception):
    """What came is not the protocol."""


class Client:
    """One server's."""

    def __init__(self, process: Process, folder: dict[str, str], told: Callable[[str, msgspec.Raw], None]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._folder = folder
        self._told = told
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._since = time.monotonic()
        self._bytes = self._messages = 0
        self._complaint = b""
        self._over = ""

    async def serve(self) -> str:
        """Until it is over; why."""
        listening = asyncio.create_task(self._listen())
        why = "it was ended"
        try:
            why = self._over or await self._converse()
            await asyncio.wait([listening], timeout=COMPLAINT_SECONDS)
            why = f"{why}: {self.complaint}" if self.complaint else why
        finally:
            listening.cancel()
            self._let_go(why)
        return why

    async def _converse(self) -> str:
        try:
            while body := await self._next():
                self._take(body)
                await asyncio.sleep(0)
        except _NonsenseError as error:
            self.end(str(error))
            await self._discard()
            return str(error)
        return self._over or "it ended"

    async def _discard(self) -> None:
        """What it still sent; its pipe has to be empty before its end is seen."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while await self._stdout.read(1 << 20):
                    pass

    async def request(self, method: str, params: object) -> msgspec.Raw:
        """Its answer, or `AnsweredError`. Who stops waiting cancels it."""
        self._asked += 1
        number = self._asked
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"id": number, "method": method, "params": params})
            return await self._waiting[number]
        except asyncio.CancelledError:
            if not self._over:
                self.notify("$/cancelRequest", {"id": number})
            raise
        finally:
            self._waiting.pop(number, None)

    def notify(self, method: str, params: object) -> None:
        """Tells it."""
        self._send({"method": method, "params": params})

    @property
    def complaint(self) -> str:
        """The last that it said to its standard error."""
        return self._complaint.decode(errors="replace").strip()

    @property
    def over(self) -> bool:
        return bool(self._over)

    def end(self, why: str) -> None:
        """Kills its whole group; `serve` returns then."""
        self._let_go(why)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _let_go(self, why: str) -> None:
        self._over = self._over or why
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SteadError("lsp_failed", f"the language server did not answer: {self._over}"))

    def _send(self, message: dict[str, Any]) -> None:
        if self._over:
            raise SteadError("lsp_failed", f"the language server is gone: {self._over}")
        body = msgspec.json.encode({"jsonrpc": "2.0"} | message)
        self._stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if self._stdin.transport.get_write_buffer_size() > WAITING_BYTES:
            self.end("it does not read what it is sent")

    async def _next(self) -> bytes:
        """The body of the next message; empty at the end."""
        length = await self._length()
        if length < 0:
            return b""
        if not 0 < length <= MESSAGE_BYTES:
            raise _NonsenseError(f"it sent a message of {length} bytes")
        try:
            body = await self._stdout.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self._count(length)
        return body

    async def _length(self) -> int:
        """From the headers; -1 at the end."""
        length = 0
        for _ in range(HEADERS):
            try:
                line = await self._stdout.readline()
            except (ValueError, ConnectionError):
                raise _NonsenseError("it sent a line without end") from None
            if not line:
                return -1
            if not line.strip():
                return length
            name, colon, value = line.partition(b":")
            if not colon:
                raise _NonsenseError(f"it sent {line[:60]!r} instead of a message")
            if name.strip().lower() == b"content-length":
                length = int(value) if value.strip().isdigit() and len(value) < 20 else 0
        raise _NonsenseError("it sent too many headers")

    def _count(self, size: int) -> None:
        now = time.monotonic()
        if now - self._since > FLOOD_SECONDS:
            self._since, self._bytes, self._messages = now, 0, 0
        self._bytes += size
        self._messages += 1
        if self._bytes > FLOOD_BYTES or self._messages > FLOOD_MESSAGES:
            raise _NonsenseError("it sent more than anybody can want")

    def _take(self, body: bytes) -> None:
        try:
            message = msgspec.json.decode(body, type=_Message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _NonsenseError(f"it sent {body[:60]!r}, which is no message") from None
        if message.method and message.id is not None:
            self._answer(message)
        elif message.method:
            self._told(message.method, message.params)
        else:
            self._answered(message)

    def _answered(self, message: _Message) -> None:
        future = self._waiting.get(message.id) if isinstance(message.id, int) else None
        if future is None or future.done():
            return
        if message.error is not None:
            future.set_exception(AnsweredError(message.error.code, message.error.message[:COMPLAINT_BYTES]))
        else:
            future.set_result(message.result)

    def _answer(self, message: _Message) -> None:
        with contextlib.suppress(SteadError):
            if message.method == "workspace/configuration":
                self._send({"id": message.id, "result": [None] * _count_items(message.params)})
            elif message.method == "workspace/workspaceFolders":
                self._send({"id": message.id, "result": [self._folder]})
            elif message.method == "workspace/applyEdit":
                self._send({"id": message.id, "result": {"applied": False}})
            elif message.method in _NOTHING:
                self._send({"id": message.id, "result": None})
            else:
                error = {"code": METHOD_NOT_FOUND, "message": "not known here"}
                self._send({"id": message.id, "error": error})

    async def _listen(self) -> None:
        """To its standard error, so that it can go on."""
        assert self._process.stderr is not None
        while piece := await self._process.stderr.read(1 << 16):
            self._complaint = (self._complaint + piece)[-COMPLAINT_BYTES:]


def _count_items(params: msgspec.Raw) -> int:
    try:
        return len(msgspec.json.decode(params, type=_Items).items)
    except msgspec.DecodeError:
        return 0
