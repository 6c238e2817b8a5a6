"""The data phase of a WebSocket (RFC 6455), once the handshake is done: whole messages in and out, nothing compressed.

Contract: `Wire(transport, client=...)` takes the transport over from whatever protocol did the handshake; `feed` it what was
read already. Then it is `Direct` messages. What was read and not taken is bounded, then reading pauses. A message over the
limit closes with 1009 before any of it is kept, other violations with 1002 or 1007; `receive` raises "too_large" where
either side closed with 1009, and gives None after any other end. `close` says goodbye and waits for the other side, bounded.
"""

from __future__ import annotations

import asyncio
import functools
import os
import struct
from collections import deque
from collections.abc import Callable, Sequence

import anyio

from stead.protocol.codec import MESSAGE_BYTES
from stead.protocol.connections import Cut, Outgoing
from stead.protocol.errors import SteadError
from stead.transport.sockets import JOINED_BYTES, READ_BYTES, WRITE_BYTES

try:
    from websockets.speedups import apply_mask
except ImportError:  # where there is no compiled extension
    from websockets.utils import apply_mask

KEPT_BYTES = 1 << 20
"""How much freed memory the process keeps for the next large frame."""
CLOSE_SECONDS = 2.0
"""How long the other side has to answer a goodbye."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
CONTROL_BYTES = 125
PROTOCOL_ERROR, NO_CODE, LOST, NOT_UTF8, TOO_LARGE = 1002, 1005, 1006, 1007, 1009

_CODES = {*range(1000, 1015), *range(3000, 5000)} - {1004, NO_CODE, LOST}
"""Those that may stand in a close frame."""

_SHORT = struct.Struct(">BBH")
_LONG = struct.Struct(">BBQ")
_CODE = struct.Struct(">H")


class ViolationError(Exception):
    """What the other side may not do, with the code to close with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Incoming:
    """Frames out of bytes, pure: `feed` calls `deliver(opcode, payload)` for each whole message and control frame."""

    def __init__(self, *, masked: bool, limit: int, deliver: Callable[[int, bytes], None]) -> None:
        self._masked = masked
        self._limit = limit
        self._deliver = deliver
        self._start = b""
        self._parts: list[bytes | memoryview] = []
        self._missing = 0
        self._opcode = 0
        self._final = True
        self._key = b""
        self._message = 0
        self._fragments: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Takes what was read; raises ViolationError, after which nothing more may be fed."""
        at = 0
        if self._missing:
            at = min(self._missing, len(data))
            self._parts.append(data if at == len(data) else memoryview(data)[:at])
            self._missing -= at
            if self._missing:
                return
            payload = b"".join(self._parts)
            self._parts.clear()
            self._arrived(payload)
        elif self._start:
            data, self._start = self._start + data, b""
        while at < len(data):
            at = self._frame(data, at)

    def _frame(self, data: bytes, at: int) -> int:
        """Reads one frame, or as much of it as is there; where the next begins."""
        if at + 2 > len(data):
            return self._wait(data, at)
        length = data[at + 1] & 0x7F
        if (data[at + 1] >= 0x80) is not self._masked:
            raise ViolationError(PROTOCOL_ERROR, "only frames of the client are masked")
        wide = at + 2 + (2 if length == 126 else 8 if length == 127 else 0)
        start = wide + (4 if self._masked else 0)
        if start > len(data):
            return self._wait(data, at)
        if length > CONTROL_BYTES:
            length = int.from_bytes(data[at + 2 : wide])
        self._check(data[at], length)
        self._key = data[wide:start]
        end = start + length
        if end > len(data):
            self._parts.append(memoryview(data)[start:])
            self._missing = end - len(data)
            return len(data)
        self._arrived(data[start:end] if not self._masked else memoryview(data)[start:end])
        return end

    def _wait(self, data: bytes, at: int) -> int:
        """Keeps half a header."""
        self._start = data[at:]
        return len(data)

    def _check(self, first: int, length: int) -> None:
        """Refuses before anything is kept."""
        self._opcode, self._final = first & 0x0F, first >= 0x80
        if first & 0x70 or self._opcode not in {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}:
            raise ViolationError(PROTOCOL_ERROR, "no extension and no further opcode is known")
        if self._opcode >= CLOSE:
            if length > CONTROL_BYTES or not self._final:
                raise ViolationError(PROTOCOL_ERROR, "a control frame is short and whole")
        elif (self._opcode == CONTINUATION) is not bool(self._message):
            raise ViolationError(
                PROTOCOL_ERROR, "a continuation follows a message that is not whole, and nothing else does"
            )
        elif self._size + length > self._limit:
            raise ViolationError(TOO_LARGE, f"a message has at most {self._limit} bytes")

    def _arrived(self, payload: bytes | memoryview) -> None:
        data = apply_mask(payload, self._key) if self._masked else bytes(payload)
        if self._opcode >= CLOSE or (self._final and not self._message):
            self._deliver(self._opcode, data)
        else:
            self._gather(data)

    def _gather(self, data: bytes) -> None:
        """A message in several frames."""
        self._message = self._message or self._opcode
        self._fragments.append(data)
        self._size += len(data)
        if self._final:
            whole, opcode = b"".join(self._fragments), self._message
            self._fragments.clear()
            self._message = self._size = 0
            self._deliver(opcode, whole)


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        client: bool,
        limit: int = MESSAGE_BYTES,
        lost: Callable[[Exception | None], None] | None = None,
    ) -> None:
        self.close_code = 0
        self._transport = transport
        self._client = client
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._incoming = Incoming(masked=not client, limit=limit, deliver=self._deliver)
        self._messages: deque[str | bytes] = deque()
        self._held = 0
        self._paused = False
        self._congested = False
        self._open = not transport.is_closing()
        self._deaf = False
        self._pong: bytes | None = None
        self._keys = b""
        self._reader: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._gone = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        _keep_memory()
        transport.set_write_buffer_limits(high=WRITE_BYTES)
        transport.set_protocol(self)

    def feed(self, data: bytes) -> None:
        """What was read before the connection was taken over."""
        if data:
            self.data_received(data)

    # --- Direct

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        while not self._messages:
            if not self._open:
                if self.close_code == TOO_LARGE:
                    raise SteadError("too_large", f"a message has at most {MESSAGE_BYTES} bytes")
                return None
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message = self._messages.popleft()
        self._held -= len(message)
        if self._paused and self._held < READ_BYTES // 2:
            self._resume()
        return message

    async def send(self, message: str | bytes) -> None:
        """Returns when the message is taken by the system, or what waits is below its bound."""
        self._check_open()
        self.put((message,))
        while self._congested:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)
            self._check_open()

    def _check_open(self) -> None:
        if not self._open:
            if self.close_code == TOO_LARGE:
                raise SteadError("too_large", f"a message has at most {MESSAGE_BYTES} bytes")
            raise SteadError("unavailable", "the connection is closed")

    def ready(self) -> bool:
        """Whether `put` may be called now."""
        return self._open and not self._congested

    def put(self, messages: Sequence[Outgoing]) -> None:
        """Takes these in one write."""
        if not self._open:
            return
        pieces: list[bytes | memoryview] = []
        for message in messages:
            if isinstance(message, Cut):
                self._cut(message, pieces)
            elif isinstance(message, str):
                self._frame(TEXT, message.encode(), pieces)
            else:
                self._frame(BINARY, message, pieces)
        if sum(map(len, pieces)) < JOINED_BYTES:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Says goodbye, waits a moment for the other side's, then closes; what arrives meanwhile is dropped."""
        self._messages.clear()
        self._held = 0
        self._resume()
        self._goodbye(code, reason)
        with anyio.move_on_after(2 * CLOSE_SECONDS):
            await self._gone.wait()

    # --- sending

    def _frame(self, opcode: int, data: bytes, pieces: list[bytes | memoryview]) -> None:
        """Adds the header and what it heads."""
        head = self._head(opcode, len(data))
        if self._client:
            key = self._fresh_key()
            head, data = head + key, apply_mask(data, key)
        pieces += (head, data)

    def _cut(self, message: Cut, pieces: list[bytes | memoryview]) -> None:
        """The same for a message in two pieces, of which the second is masked from where the first ended."""
        head, body = self._head(BINARY, message.size), message.body
        if self._client:
            key, turn = self._fresh_key(), len(message.head) % 4
            pieces += (head + key + apply_mask(message.head, key), apply_mask(body, key[turn:] + key[:turn]))
        else:
            pieces += (head + message.head, body)

    def _head(self, opcode: int, size: int) -> bytes:
        mask = 0x80 if self._client else 0
        if size <= CONTROL_BYTES:
            return bytes((0x80 | opcode, mask | size))
        if size < 1 << 16:
            return _SHORT.pack(0x80 | opcode, mask | 126, size)
        return _LONG.pack(0x80 | opcode, mask | 127, size)

    def _fresh_key(self) -> bytes:
        """Four bytes that nobody can guess, of which some are kept in store."""
        if not self._keys:
            self._keys = os.urandom(256)
        key, self._keys = self._keys[:4], self._keys[4:]
        return key

    def _control(self, opcode: int, data: bytes) -> None:
        pieces: list[bytes | memoryview] = []
        self._frame(opcode, data, pieces)
        self._transport.write(b"".join(pieces))

    def _goodbye(self, code: int, reason: str) -> None:
        """Sends a close frame, once; the connection ends in time, whatever the other side does."""
        if not self._open:
            return
        self._control(CLOSE, _CODE.pack(code) + _cut(reason))
        self._end(code)

    def _end(self, code: int) -> None:
        """No message goes out any more, and none comes in."""
        if self._open:
            self._open = False
            self.close_code = code
            self._timer = self._loop.call_later(CLOSE_SECONDS, self._transport.abort)
        self._wake()

    # --- receiving

    def _deliver(self, opcode: int, data: bytes) -> None:
        if opcode == CLOSE:
            self._closing(data)
        elif opcode == PING:
            self._answer_ping(data)
        elif opcode != PONG and self._open:
            self._take(data.decode() if opcode == TEXT else data)

    def _take(self, message: str | bytes) -> None:
        self._messages.append(message)
        self._held += len(message)
        if self._held >= READ_BYTES and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _answer_ping(self, data: bytes) -> None:
        """At once, or where the other side does not read, only the latest once it does."""
        if self._congested:
            self._pong = data
        elif self._open:
            self._control(PONG, data)

    def _closing(self, data: bytes) -> None:
        """The other side says goodbye, or answers ours; then the server closes."""
        if len(data) == 1:
            raise ViolationError(PROTOCOL_ERROR, "a close frame has a code of two bytes")
        code = _CODE.unpack_from(data)[0] if data else NO_CODE
        if data and code not in _CODES:
            raise ViolationError(PROTOCOL_ERROR, "a close frame has a code that may be sent")
        data[2:].decode()
        self._deaf = True
        if self._open:
            self._control(CLOSE, data[:2])
            self._end(code)
        if not self._client:
            self._transport.close()

    def _fail(self, code: int, reason: str) -> None:
        """Closes over what the other side did; what it still sends is dropped, so that it can read why."""
        self._deaf = True
        self._goodbye(code, reason)
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._transport.resume_reading()
        self._paused = False

    def _wake(self) -> None:
        for waiter in (self._reader, self._drained):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        self._drained = None

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._incoming.feed(data)
        except ViolationError as violation:
            self._fail(violation.code, str(violation))
        except UnicodeDecodeError:
            self._fail(NOT_UTF8, "text is UTF-8")

    def eof_received(self) -> None:
        self._end(LOST)

    def connection_lost(self, error: Exception | None) -> None:
        self._congested = False
        self._end(LOST)
        if self._timer is not None:
            self._timer.cancel()
        self._gone.set()
        if self._lost is not None:
            self._lost(error)

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False
        if self._pong is not None and self._open:
            pong, self._pong = self._pong, None
            self._control(PONG, pong)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


@functools.cache
def _keep_memory() -> None:
    """glibc gives freed memory back at once, and a stream of large frames would fetch it again page by page; it keeps twice
    the size of the largest block that was ever freed, so one is."""
    bytes(KEPT_BYTES)


def _cut(reason: str) -> bytes:
    """As much of the reason as a control frame holds, in whole characters."""
    return reason.encode()[: CONTROL_BYTES - 2].decode(errors="ignore").encode()
