"""The JSON-RPC client of the guest protocol: many requests at once over one unix socket that comes and goes.

Contract: `async with Lines(where) as lines: await lines.call(method, params)`. The connection is made when needed and made
anew when it is gone; answers are matched by id, and what cannot be matched (the rest of a line from before, an answer that
came too late) is passed over. Only methods that may be repeated are sent again after a loss; of the others the outcome is
unknown, and that is what the caller is told. A guest that says that it is ready has forgotten what it was asked before. Each
call has a deadline. A guest that fails often is left alone for a while (`breaker`); that a call waited for its turn is nothing
that is held against it. `where` is as in `way`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import msgspec

from stead.protocol import guest as wire
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.sdk.guest.greeting import Greeting, decoded
from stead.sdk.guest.way import Way
from stead.transport.attempts import UnansweredError, verdict
from stead.transport.backoff import Backoff
from stead.transport.breaker import Breaker

ANSWER_SECONDS = 30.0
"""How long a guest that is silent is waited for."""
CONCURRENT = 10
"""Requests at once, as the protocol has it."""
TRIES = 4
READ = 1 << 16

CODES = {
    wire.PARSE: "malformed",
    wire.INVALID_REQUEST: "invalid",
    wire.METHOD_NOT_FOUND: "method_not_found",
    wire.INVALID_PARAMS: "invalid",
    wire.INTERNAL: "internal",
    wire.COMMAND_FAILED: "program_failed",
    wire.PERMISSION_DENIED: "permission_denied",
    wire.NOT_FOUND: "not_found",
    wire.TIMED_OUT: "timeout",
}
"""Codes of the guest protocol in our table; a guest of ours says its own code beside."""


class Connection:
    """One connection from its first byte to its last."""

    def __init__(self, stream: Bytes, before: bytes) -> None:
        self.stream = stream
        self._buffer = bytearray(before)
        self.waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.over = False
        self._feed(b"")

    async def run(self) -> None:
        """Hands out answers until the end."""
        try:
            while data := await self.stream.read(READ):
                self._feed(data)
        except SteadError:
            return
        finally:
            self.over = True
            self._lose()
            await self.stream.close()

    def _feed(self, data: bytes) -> None:
        self._buffer += data
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(b"" if len(rest) > wire.LINE_BYTES else rest)
        for line in lines:
            self._take(bytes(line))

    async def ask(self, number: str, line: bytes) -> dict[str, Any]:
        """Sends a request and waits for its answer."""
        future = self.waiting[number] = asyncio.get_running_loop().create_future()
        try:
            if self.over:
                raise SteadError("unavailable", "the guest hung up")
            await self.stream.write(line)
            answer: dict[str, Any] = await future
            return answer
        finally:
            self.waiting.pop(number, None)

    def _lose(self) -> None:
        """Whoever waits is told that no answer will come; it is one loss, however many wait."""
        lost = UnansweredError("unavailable", "the guest was lost")
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(lost)

    def _take(self, line: bytes) -> None:
        value = decoded(line) or {}
        number = value.get("id")
        future = self.waiting.get(number) if isinstance(number, str) else None
        if future is not None and not future.done():
            future.set_result(value)
        elif value.get("method") == wire.READY:
            self._lose()


class _Waiting:
    """One call: whether it has its turn, and whether any of it was sent."""

    begun = False
    sent = False


class Lines:
    """A client of one guest."""

    def __init__(self, where: str | Path | Way, *, breaker: Breaker | None = None) -> None:
        self.way = Way.of(where)
        self.breaker = breaker or Breaker()
        self._connection: Connection | None = None
        self._connecting = anyio.Lock()
        self._apart = anyio.Lock()
        self._limit = anyio.CapacityLimiter(CONCURRENT)
        self._numbers = itertools.count(1)
        self._session = secrets.token_hex(4)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()

    async def call(self, method: str, params: Any = None, *, seconds: float = ANSWER_SECONDS) -> Any:
        """The result as plain JSON data."""
        repeat = method in wire.METHODS and wire.METHODS[method].repeat
        waiting = _Waiting()
        with anyio.move_on_after(seconds):
            async with self._limit:
                waiting.begun = True
                answer = await self._patiently(method, params, repeat, waiting)
                if "error" in answer:
                    raise fault(answer["error"])
                return answer.get("result")
        if not waiting.begun:
            raise SteadError("timeout", f"others were served for {seconds:g} s; the guest was not asked for {method}")
        late = UnansweredError("timeout", f"the guest did not answer {method} within {seconds:g} s")
        self.breaker.failed(time.monotonic(), late)
        raise verdict(late, method, repeat=repeat or not waiting.sent)

    async def _patiently(self, method: str, params: Any, repeat: bool, waiting: _Waiting) -> dict[str, Any]:
        """Some attempts, where another one does no harm."""
        backoff = Backoff(limit=2.0)
        for left in reversed(range(TRIES)):
            try:
                return await self._attempt(method, params, waiting)
            except UnansweredError as error:
                told = verdict(error, method, repeat=repeat)
                if told is not error:
                    raise told from None
                trouble = error.message
            except SteadError as error:
                if error.code != "unavailable":
                    raise
                trouble = error.message
            if not left or self.breaker.state == "open":
                raise SteadError("workspace_unreachable", f"the guest does not answer: {trouble}")
            await anyio.sleep(backoff.delay())
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, method: str, params: Any, waiting: _Waiting) -> dict[str, Any]:
        number = f"{self._session}-{next(self._numbers)}"
        line = _request(number, method, params)
        waiting.sent = False
        with self.breaker.attempt(time.monotonic):
            connection = await self.connected()
            waiting.sent = True
            return await connection.ask(number, line)

    async def connected(self) -> Connection:
        """The live connection, made now where there is none."""
        async with self._connecting:
            if self._connection is None or self._connection.over:
                if self._tasks is None:
                    raise SteadError("invalid", "the client is used outside of `async with`")
                self._connection = await self._greeted(await self.way.lines())
                self._tasks.start_soon(self._connection.run)
            return self._connection

    async def _greeted(self, stream: Bytes) -> Connection:
        greeting = Greeting(stream)
        try:
            await greeting.step()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await stream.close()
            raise
        return Connection(stream, greeting.rest)

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[None]:
        """The channel for somebody else, once all that was asked is answered; meanwhile calls wait, and the next one makes
        another connection."""
        turns = [object() for _ in range(CONCURRENT)]
        async with self._apart:
            taken = []
            try:
                for turn in turns:
                    await self._limit.acquire_on_behalf_of(turn)
                    taken.append(turn)
                await self._let_go()
                yield
            finally:
                for turn in taken:
                    self._limit.release_on_behalf_of(turn)

    async def _let_go(self) -> None:
        async with self._connecting:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                await connection.stream.close()


def _request(number: str, method: str, params: Any) -> bytes:
    request = {"jsonrpc": "2.0", "id": number, "method": method} | ({} if params is None else {"params": params})
    line = msgspec.json.encode(request) + b"\n"
    if len(line) > wire.LINE_BYTES:
        raise SteadError("too_large", f"a request has at most {wire.LINE_BYTES} bytes; use the link for more")
    return line


def fault(error: Any) -> SteadError:
    """The error of our table for a JSON-RPC error object."""
    if not isinstance(error, dict):
        return SteadError("malformed", "the guest answered with something that is no error object")
    data = error.get("data")
    said = data if isinstance(data, dict) else {}
    own, number = said.get("code"), error.get("code")
    known = CODES.get(number, "program_failed") if isinstance(number, int) else "program_failed"
    printed = {name: said[name] for name in ("stdout", "stderr") if isinstance(said.get(name), str)}
    code = own if isinstance(own, str) else known
    return SteadError(code, str(error.get("message", "")), rpc_code=number, **printed)
