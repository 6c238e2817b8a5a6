"""`Bytes` carried in lines of text, for a serial line that others write to as well: nothing that is lost or mixed up on the way
goes unnoticed.

    OFFSET:CRC:BASE64     the bytes from this offset of the direction on, with their CRC-32 in hexadecimal
    END                   this side has no such connection, or has ended it

Contract: `Carried(say)` is one connection; `say` sends a line. Whoever reads the lines gives each to `feed`, which waits while
more than `HELD_BYTES` are unread. A line that does not go on where the one before it ended, or is not what was sent, ends the
connection. `begins(line)`: the line is the first of a new connection.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Awaitable, Callable

import anyio

from stead.protocol.errors import SteadError

PIECE = 3 << 10
"""Bytes of one line: others get their turn between two."""
HELD_BYTES = 256 << 10
END = b"END"
_LINE = re.compile(rb"(\d{1,19}):([0-9a-f]{8}):([A-Za-z0-9+/=]+)")

Say = Callable[[bytes], Awaitable[None]]


class Carried:
    """One connection of two directions."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._sent = 0
        self._came = 0
        self._held = bytearray()
        self._ended = False
        self._changed = anyio.Event()
        self._writing = anyio.Lock()

    @property
    def ended(self) -> bool:
        return self._ended

    async def read(self, limit: int) -> bytes:
        """At least one byte; empty at the end."""
        while not self._held:
            if self._ended:
                return b""
            await self._changed.wait()
        data = bytes(self._held[:limit])
        del self._held[:limit]
        self._tell()
        return data

    async def write(self, data: bytes) -> None:
        """Returns when the line below has taken all."""
        async with self._writing:
            for start in range(0, len(data), PIECE):
                if self._ended:
                    raise SteadError("unavailable", "the connection is closed")
                piece = data[start : start + PIECE]
                line = b"%d:%08x:%s" % (self._sent, zlib.crc32(piece), base64.b64encode(piece))
                self._sent += len(piece)
                await self._say(line)

    async def close(self) -> None:
        """Tells the other side; again changes nothing."""
        if not self._ended:
            self.end()
            await self._say(END)

    def end(self) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._tell()

    async def feed(self, line: bytes) -> None:
        """One line of the other side."""
        if self._ended:
            return
        data = _content(line, self._came)
        if data is None:
            if line == END:
                self.end()
            else:
                await self.close()
            return
        self._came += len(data)
        self._held += data
        self._tell()
        while len(self._held) > HELD_BYTES and not self._ended:
            await self._changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


def begins(line: bytes) -> bool:
    """Whether it is the first of a new connection."""
    return _content(line, 0) is not None


def _content(line: bytes, offset: int) -> bytes | None:
    """What the line carries; None when it is not whole or not the one from this offset on."""
    found = _LINE.fullmatch(line)
    if found is None or int(found[1]) != offset:
        return None
    try:
        data = base64.b64decode(found[3], validate=True)
    except binascii.Error:
        return None
    return data if data and zlib.crc32(data) == int(found[2], 16) else None
