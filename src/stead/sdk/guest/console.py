"""A machine's serial line as a channel of the guest protocol: its JSON lines, out of all that goes over it.

Contract: `JsonLines(bytes)` is `Bytes` that carry the lines of the protocol alone: each that is written gets the prefix, each
that is read has it and loses it. What the kernel and others print is passed over.
"""

from __future__ import annotations

from stead.protocol.connections import Bytes
from stead.protocol.guest import LINE_BYTES

PREFIX = b"JSON:"


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
