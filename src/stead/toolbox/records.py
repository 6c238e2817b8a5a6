"""Records of an exec's output: `channel u8 | length u32 big-endian | bytes`, on disk and on the wire alike.

Contract: `header(channel, length)`, `encode(channel, data)`, `Decoder(cursor).feed(data)` gives whole records
`(channel, data, cursor after it)`, so that every cursor is a place to attach to. Standard library only.
"""

from __future__ import annotations

import struct

STDOUT = 1
STDERR = 2
NAMES = {STDOUT: "stdout", STDERR: "stderr"}
HEADER_BYTES = 5
DATA_BYTES = 1 << 16
"""The most data of one record."""

_HEADER = struct.Struct(">BI")


class BadRecordError(ValueError):
    """The bytes are not records (the cursor was not a border, or the log is damaged)."""


def header(channel: int, length: int) -> bytes:
    """What stands before the data of one record."""
    return _HEADER.pack(channel, length)


def encode(channel: int, data: bytes) -> bytes:
    """One whole record."""
    return _HEADER.pack(channel, len(data)) + data


class Decoder:
    """Turns any pieces of the byte sequence into whole records; holds at most one unfinished record."""

    def __init__(self, cursor: int = 0) -> None:
        self.cursor = cursor
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes, int]]:
        """The records that these bytes complete."""
        self._kept += data
        found: list[tuple[int, bytes, int]] = []
        start = 0
        while (end := self._end(start)) is not None:
            channel = self._kept[start]
            self.cursor += end - start
            found.append((channel, bytes(self._kept[start + HEADER_BYTES : end]), self.cursor))
            start = end
        del self._kept[:start]
        return found

    def _end(self, start: int) -> int | None:
        if len(self._kept) - start < HEADER_BYTES:
            return None
        channel, length = _HEADER.unpack_from(self._kept, start)
        if channel not in NAMES or length > DATA_BYTES:
            raise BadRecordError(f"not a record at {self.cursor}")
        end: int = start + HEADER_BYTES + length
        return end if end <= len(self._kept) else None
