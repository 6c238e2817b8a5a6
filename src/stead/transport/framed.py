"""`Messages` over any `Bytes`: `u32 big-endian length of the payload | u8 0 text, 1 binary | payload`.

Contract: `Framed(bytes, before=b"")`; `before` is what was read already (after `link.upgrade`). A length over the limit or
an unknown kind ends the connection with "too_large" or "malformed", before anything of it is kept. `ready` and `put` work
where the connection below has them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from stead.protocol.codec import MESSAGE_BYTES
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.transport.sockets import TransportBytes

HEADER = struct.Struct(">IB")
READ = 256 << 10


class Framed:
    """Whole messages over bytes."""

    def __init__(self, connection: Bytes, before: bytes = b"", limit: int = MESSAGE_BYTES) -> None:
        self._connection = connection
        self._direct = connection if isinstance(connection, TransportBytes) else None
        self._buffer = bytearray(before)
        self._limit = limit
        self._closed = False

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        while (message := self.take()) is None:
            data = b"" if self._closed else await self._connection.read(READ)
            if not data:
                return None
            self._buffer += data
        return message

    def take(self) -> str | bytes | None:
        """One message out of the buffer, when a whole one is there."""
        if len(self._buffer) < HEADER.size:
            return None
        length, kind = HEADER.unpack_from(self._buffer)
        if length > self._limit:
            raise SteadError("too_large", f"a message has at most {self._limit} bytes")
        if kind > 1:
            raise SteadError("malformed", "a message is text (0) or binary (1)")
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        with memoryview(self._buffer) as view:
            payload = bytes(view[HEADER.size : end])
        del self._buffer[:end]
        return payload if kind else _text(payload)

    async def send(self, message: str | bytes) -> None:
        """Returns when the message is taken."""
        await self._connection.write(_frame(message))

    def ready(self) -> bool:
        """Whether `put` may be called now."""
        return self._direct is not None and self._direct.ready()

    def put(self, messages: Sequence[str | bytes]) -> None:
        """Takes these in one write."""
        if self._direct is not None:
            self._direct.put(b"".join(map(_frame, messages)))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection below."""
        self._closed = True
        await self._connection.close()


def _frame(message: str | bytes) -> bytes:
    if isinstance(message, str):
        data = message.encode()
        return HEADER.pack(len(data), 0) + data
    return HEADER.pack(len(message), 1) + message


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise SteadError("malformed", "a text message is UTF-8") from None
