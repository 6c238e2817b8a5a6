"""`Messages` over any `Bytes`: `u32 big-endian length of the payload | u8 0 text, 1 binary | payload`.

Contract: `Framed(bytes, before=b"")`; `before` is what was read already (after `link.upgrade`). A length over the limit or
an unknown kind ends the connection with "too_large" or "malformed", before anything of it is kept. `ready` and `put` work
where the connection below has them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from stead.protocol.codec import MESSAGE_BYTES
from stead.protocol.connections import Bytes, Cut, Outgoing, Prompt
from stead.protocol.errors import SteadError

HEADER = struct.Struct(">IB")
READ = 256 << 10


class Framed:
    """Whole messages over bytes."""

    def __init__(self, connection: Bytes, before: bytes = b"", limit: int = MESSAGE_BYTES) -> None:
        self._connection = connection
        self._direct = connection if isinstance(connection, Prompt) else None
        self._chunk = before
        self._at = 0
        self._kind = 0
        self._parts: list[bytes | memoryview] = []
        self._missing = 0
        self._limit = limit
        self._closed = False

    async def receive(self) -> str | bytes | None:
        """The next message; None at the end."""
        while (message := self.take()) is None:
            data = b"" if self._closed else await self._connection.read(READ)
            if not data:
                return None
            self._feed(data)
        return message

    def take(self) -> str | bytes | None:
        """One message of what was read, when a whole one is there."""
        if self._parts:
            return self._assembled()
        start = self._at + HEADER.size
        if start > len(self._chunk):
            self._chunk, self._at = self._chunk[self._at :], 0
            return None
        length, self._kind = HEADER.unpack_from(self._chunk, self._at)
        if length > self._limit:
            raise SteadError("too_large", f"a message has at most {self._limit} bytes")
        if self._kind > 1:
            raise SteadError("malformed", "a message is text (0) or binary (1)")
        self._at = start + length
        payload = self._chunk[start : self._at]
        if len(payload) == length:
            return self._message(payload)
        self._parts.append(payload)
        self._missing = length - len(payload)
        self._chunk, self._at = b"", 0
        return None

    def _feed(self, data: bytes) -> None:
        """What was read goes to the message that is incomplete, and what is beyond it waits."""
        if self._parts:
            self._parts.append(memoryview(data)[: self._missing])
            self._chunk, self._at = data, min(len(data), self._missing)
            self._missing -= self._at
        else:
            self._chunk = self._chunk + data if self._chunk else data

    def _assembled(self) -> str | bytes | None:
        if self._missing:
            return None
        payload = b"".join(self._parts)
        self._parts.clear()
        return self._message(payload)

    def _message(self, payload: bytes) -> str | bytes:
        return payload if self._kind else _text(payload)

    async def send(self, message: str | bytes) -> None:
        """Returns when the message is taken."""
        await self._connection.write(b"".join(_framed([message])))

    def ready(self) -> bool:
        """Whether `put` may be called now."""
        return self._direct is not None and self._direct.ready()

    def put(self, messages: Sequence[Outgoing]) -> None:
        """Takes these in one write."""
        if self._direct is not None:
            self._direct.put(_framed(messages))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection below."""
        self._closed = True
        await self._connection.close()


def _framed(messages: Sequence[Outgoing]) -> list[bytes | memoryview]:
    """All of them with their headers."""
    parts: list[bytes | memoryview] = []
    for message in messages:
        if isinstance(message, Cut):
            parts += (HEADER.pack(message.size, 1), *message)
        else:
            data = message.encode() if isinstance(message, str) else message
            parts += (HEADER.pack(len(data), not isinstance(message, str)), data)
    return parts


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise SteadError("malformed", "a text message is UTF-8") from None
