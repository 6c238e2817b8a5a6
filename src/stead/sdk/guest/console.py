"""A machine's serial line as a channel of the guest protocol: what is meant for us, out of all that goes over it.

Contract: `JsonLines(bytes)` is `Bytes` that carry the lines of the protocol alone: each that is written gets the prefix, each
that is read has it and loses it. `LinkLines(bytes)` is `Bytes` of any kind, such as the framed link. What the kernel and others
print is passed over.
"""

from __future__ import annotations

import contextlib

from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.guest import LINE_BYTES
from stead.transport.carried import Carried, new_name

PREFIX = b"JSON:"
LINK = b"LINK:"
READ = 1 << 16


class JsonLines:
    """The lines of one serial line that begin with `JSON:`."""

    def __init__(self, line: Bytes) -> None:
        self._line = line
        self._buffer = bytearray()
        self._written = bytearray()

    async def read(self, limit: int) -> bytes:
        """Whole lines; `limit` is that of the line below."""
        while data := await self._line.read(limit):
            self._buffer += data.replace(b"\r", b"\n")
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = bytearray(b"" if len(rest) > LINE_BYTES + len(PREFIX) else rest)
            found = b"".join(bytes(each).removeprefix(PREFIX) + b"\n" for each in lines if each.startswith(PREFIX))
            if found:
                return found
        return b""

    async def write(self, data: bytes) -> None:
        """Lines as they become whole."""
        self._written += data
        *lines, rest = self._written.split(b"\n")
        self._written = bytearray(rest)
        told = b"".join(PREFIX + bytes(each) + b"\n" for each in lines if each)
        await self._line.write(told or b"\n")

    async def close(self) -> None:
        await self._line.close()


class LinkLines:
    """The lines of one serial line that begin with `LINK:`, as one connection, which is new on both sides."""

    def __init__(self, line: Bytes) -> None:
        self._line = line
        self._rest = b""
        self._carried = Carried(self._say, new_name())

    async def read(self, limit: int) -> bytes:
        """At least one byte; empty at the end."""
        while not self._carried.held and not self._carried.ended:
            data = await self._line.read(READ)
            if not data:
                self._carried.end()
            *lines, rest = (self._rest + data.replace(b"\r", b"\n")).split(b"\n")
            self._rest = b"" if len(rest) > LINE_BYTES else rest
            for line in lines:
                if line.startswith(LINK):
                    await self._carried.feed(line.removeprefix(LINK))
        return await self._carried.read(limit)

    async def write(self, data: bytes) -> None:
        await self._carried.write(data)

    async def close(self) -> None:
        try:
            with contextlib.suppress(SteadError):
                await self._carried.close()
        finally:
            await self._line.close()

    async def _say(self, line: bytes) -> None:
        await self._line.write(LINK + line + b"\n")
