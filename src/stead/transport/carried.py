"""`Bytes` carried in lines of text, for a serial line that others write to as well: nothing that is lost or mixed up on the way
goes unnoticed.

    NAME:OFFSET:CRC:BASE64     the bytes from this offset of the direction on, with their CRC-32 in hexadecimal
    NAME:END                   this side has no connection of that name, or has ended it

Contract: `Carried(say, name)` is one connection; `say` sends a line; who opens it makes the name (`new_name`). Whoever reads
the lines gives each to `feed`, which passes over those of other names and waits while more than `HELD_BYTES` are unread. A line
that does not go on where the one before it ended, or is not what was sent, ends the connection. `opened_by(line)`: the name of
the connection of which it is the first line; `name_of(line)`: of whatever line.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import zlib
from collections.abc import Awaitable, Callable

import anyio

from stead.protocol.errors import SteadError

PIECE = 3 << 10
"""Bytes of one line: others get their turn between two."""
HELD_BYTES = 256 << 10
END = b"END"
_NAME = re.compile(rb"([0-9a-f]{16}):(.*)", re.DOTALL)
_REST = re.compile(rb"(\d{1,19}):([0-9a-f]{8}):([A-Za-z0-9+/=]+)")

Say = Callable[[bytes], Awaitable[None]]


class Carried:
    """One connection of two directions."""

    def __init__(self, say: Say, name: bytes) -> None:
        self._say = say
        self.name = name
        self._sent = 0
        self._came = 0
        self._held = bytearray()
        self._ended = False
        self._changed = anyio.Event()
        self._writing = anyio.Lock()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def held(self) -> int:
        """Bytes that came and were not read."""
        return len(self._held)

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
                coded = base64.b64encode(piece)
                line = b"%s:%d:%08x:%s" % (self.name, self._sent, zlib.crc32(piece), coded)
                self._sent += len(piece)
                await self._say(line)

    async def close(self) -> None:
        """Tells the other side; again changes nothing."""
        if not self._ended:
            self.end()
            await self._say(ending(self.name))

    def end(self) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._tell()

    async def feed(self, line: bytes) -> None:
        """One line of the other side."""
        name, rest = _parted(line)
        if self._ended or name != self.name:
            return
        data = _content(rest, self._came)
        if data is None:
            if rest == END:
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


def new_name() -> bytes:
    """One that no connection had."""
    return os.urandom(8).hex().encode()


def ending(name: bytes) -> bytes:
    """The line that tells the end."""
    return name + b":" + END


def name_of(line: bytes) -> bytes | None:
    """Of the connection that the line belongs to."""
    return _parted(line)[0]


def opened_by(line: bytes) -> bytes | None:
    """The name of the connection whose first line this is."""
    name, rest = _parted(line)
    return name if _content(rest, 0) is not None else None


def _parted(line: bytes) -> tuple[bytes | None, bytes]:
    found = _NAME.fullmatch(line)
    return (found[1], found[2]) if found else (None, b"")


def _content(rest: bytes, offset: int) -> bytes | None:
    """What the line carries; None when it is not whole or not the one from this offset on."""
    found = _REST.fullmatch(rest)
    if found is None or int(found[1]) != offset:
        return None
    try:
        data = base64.b64decode(found[3], validate=True)
    except binascii.Error:
        return None
    return data if data and zlib.crc32(data) == int(found[2], 16) else None
