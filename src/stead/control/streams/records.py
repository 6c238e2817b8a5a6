"""An exec's output as it travels: records `channel u8 | length u32 big-endian | bytes`, one after the other.

Contract: `Records(cursor).feed(data)` gives the whole records `(channel, data, cursor after it)` that these bytes complete.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from stead.protocol.errors import SteadError

_HEADER = struct.Struct(">BI")
_MOST = 1 << 16


class Record(NamedTuple):
    """One piece of output; the cursor is where to go on after it."""

    channel: Literal["stdout", "stderr"]
    data: bytes
    cursor: int


class Records:
    """Cuts bytes into records."""

    def __init__(self, cursor: int = 0) -> None:
        self._cursor = cursor
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[Record]:
        """What these bytes complete."""
        self._kept += data
        found: list[Record] = []
        at = 0
        while len(self._kept) - at >= _HEADER.size:
            channel, length = _HEADER.unpack_from(self._kept, at)
            if channel not in (1, 2) or length > _MOST:
                raise SteadError("internal", "the workspace sent output that cannot be read")
            end = at + _HEADER.size + length
            if end > len(self._kept):
                break
            self._cursor += end - at
            name: Literal["stdout", "stderr"] = "stdout" if channel == 1 else "stderr"
            found.append(Record(name, bytes(self._kept[at + _HEADER.size : end]), self._cursor))
            at = end
        del self._kept[:at]
        return found
