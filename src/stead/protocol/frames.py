"""The one binary frame of the wire.

`kind u8 | id length u8 | stream id | seq u64 big-endian | payload`. `seq` counts bytes of one direction of the stream; what
it means for each kind is said at the kind. A receiver ignores kinds it does not know. Limits are checked before anything
is copied.

Contract: `Frame(kind, stream_id, seq, payload)`, `frame.encode() -> bytes`, `frame.cut()` (the same without copying a large
payload), `Frame.decode(data) -> Frame` (raises SteadError "malformed" or "too_large"; a large payload is a view of `data`).
"""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

from stead.protocol.connections import Cut
from stead.protocol.errors import SteadError

PAYLOAD_BYTES = 64 << 10
"""The most payload of a frame, where nothing more was agreed."""
BULK_BYTES = 256 << 10
"""The most payload of a DATA frame of a stream that asked for more (`frame_bytes`) over hops that all know of it."""
TERMINAL_BYTES = 16 << 10
"""The most payload of a terminal frame."""
ID_BYTES = 64
"""The longest stream id."""
FRAME_BYTES = 2 + ID_BYTES + 8 + BULK_BYTES
"""The most bytes of a whole frame."""
_VIEWED_BYTES = 16 << 10  # a payload of at least this size is not copied on its way
SEQ_LIMIT = 1 << 63
"""Offsets stay below this, so that they fit signed numbers everywhere."""


class FrameKind(IntEnum):
    """What a frame carries."""

    TERMINAL_OUTPUT = 0x01
    """Bytes for a terminal's screen; `seq` is the offset of the first."""
    TERMINAL_INPUT = 0x02
    """Bytes typed; `seq` is the offset of the first."""
    DATA = 0x03
    """Bytes of any other stream; `seq` is the offset of the first."""
    CREDIT = 0x04
    """`seq` is the offset up to which the peer may send; the payload is the u64 of bytes consumed (the end counts one).
    To an opener that asked for large frames a u32 follows: the most payload of each."""
    END = 0x05
    """The direction is over; `seq` is its number of bytes, the payload a JSON result or empty."""
    RESET = 0x06
    """The stream is over in both directions at once; the payload is a Fault as JSON."""


BYTES_KINDS = frozenset({FrameKind.TERMINAL_OUTPUT, FrameKind.TERMINAL_INPUT, FrameKind.DATA})
"""The kinds whose payload is bytes of the stream."""

_TERMINAL_KINDS = frozenset({FrameKind.TERMINAL_OUTPUT, FrameKind.TERMINAL_INPUT})
_SEQ = struct.Struct(">Q")
CONSUMED = struct.Struct(">Q")
"""The payload of a CREDIT frame."""
CONSUMED_AND_MOST = struct.Struct(">QI")
"""The same to an opener that asked for large frames."""


def payload_limit(kind: int) -> int:
    """The most payload bytes of this kind."""
    if kind == FrameKind.DATA:
        return BULK_BYTES
    return TERMINAL_BYTES if kind in _TERMINAL_KINDS else PAYLOAD_BYTES


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame."""

    kind: int
    stream_id: str
    seq: int
    payload: bytes | memoryview = b""

    def encode(self) -> bytes:
        """The frame's bytes; "invalid" when a field is outside its limits."""
        return b"".join((self._head(), self.payload))

    def cut(self) -> bytes | Cut:
        """The same, in two pieces where the payload is large."""
        return self.encode() if len(self.payload) < _VIEWED_BYTES else Cut(self._head(), self.payload)

    def _head(self) -> bytes:
        name = self.stream_id.encode()
        if not (0 < len(name) <= ID_BYTES and 0 <= self.kind < 256 and 0 <= self.seq < SEQ_LIMIT):
            raise SteadError("invalid", "a frame has a kind, a stream id of 1 to 64 bytes and a seq below 2^63")
        if len(self.payload) > payload_limit(self.kind):
            raise SteadError("too_large", f"a frame of kind {self.kind} has at most {payload_limit(self.kind)} bytes")
        return b"".join((bytes((self.kind, len(name))), name, _SEQ.pack(self.seq)))

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """The frame in these bytes."""
        if len(data) > FRAME_BYTES:
            raise SteadError("too_large", f"a frame has at most {FRAME_BYTES} bytes")
        if len(data) < 2:
            raise SteadError("malformed", "the frame ends before its id")
        kind, length = data[0], data[1]
        start = 2 + length + _SEQ.size
        if not 0 < length <= ID_BYTES or len(data) < start:
            raise SteadError("malformed", "the frame's id is empty, too long, or cut off")
        if len(data) - start > payload_limit(kind):
            raise SteadError("too_large", f"a frame of kind {kind} has at most {payload_limit(kind)} bytes")
        (seq,) = _SEQ.unpack_from(data, 2 + length)
        if seq >= SEQ_LIMIT:
            raise SteadError("malformed", "the frame's seq is not below 2^63")
        payload = data[start:] if len(data) < _VIEWED_BYTES else memoryview(data)[start:]
        return cls(kind, _text(data[2 : 2 + length]), seq, payload)

    def renamed(self, stream_id: str) -> Frame:
        """The same frame under the id of the next hop."""
        return self if stream_id == self.stream_id else Frame(self.kind, stream_id, self.seq, self.payload)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise SteadError("malformed", "the frame's id is not UTF-8") from None
