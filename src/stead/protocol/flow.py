"""Bytes of one direction by absolute offset: what was written and not yet acknowledged, what has arrived and not been taken.

Contract: `SendBuffer` keeps at most `bound` bytes; `ReceiveBuffer` keeps at most `window` bytes, takes every byte once and
in order, and answers False when bytes are missing before those offered.
"""

from __future__ import annotations

from collections import deque

WINDOW = 256 << 10
"""What a sender may send of each stream and direction before it has heard any CREDIT; also what a receiver keeps."""
BULK_WINDOW = 768 << 10
"""What the receiver of a file grants from the start; also the most that a sender keeps."""


# Written bytes are kept in pieces of this size, so that a whole one is sent without copying it again; small writes are
# gathered into one piece.
_PIECE = 256 << 10
_SMALL = 4 << 10


class SendBuffer:
    """Bytes written and not yet acknowledged: offsets `start` to `end`."""

    def __init__(self, bound: int = BULK_WINDOW) -> None:
        self.bound = bound
        self.start = 0
        self.end = 0
        self._pieces: deque[bytes] = deque()
        self._first = 0

    @property
    def room(self) -> int:
        """How many bytes may be kept beyond those kept now."""
        return self.bound - (self.end - self.start)

    def write(self, data: bytes | memoryview) -> None:
        """Keeps these bytes, which fit into `room`."""
        pieces = self._pieces
        if pieces and len(pieces[-1]) + len(data) <= _SMALL:
            pieces[-1] += bytes(data)
        elif len(data) <= _PIECE:
            pieces.append(_kept(data))
        else:
            with memoryview(data) as view:
                pieces.extend(bytes(view[at : at + _PIECE]) for at in range(0, len(view), _PIECE))
        self.end += len(data)

    def peek(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on."""
        found: list[bytes] = []
        at = self._first
        for piece in self._pieces:
            if at + len(piece) > offset:
                part = piece[max(0, offset - at) : offset - at + limit]
                found.append(part)
                offset += len(part)
                limit -= len(part)
                if not limit:
                    break
            at += len(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def release(self, offset: int) -> None:
        """Forgets the bytes before `offset`; an older offset changes nothing."""
        self.start = max(self.start, min(offset, self.end))
        while self._pieces and self._first + len(self._pieces[0]) <= self.start:
            self._first += len(self._pieces.popleft())


def _kept(data: bytes | memoryview) -> bytes:
    """The bytes themselves where that is all of them and nobody can change them, else a copy."""
    whole = data.obj if isinstance(data, memoryview) and data.c_contiguous else data
    return whole if isinstance(whole, bytes) and len(whole) == len(data) else bytes(data)


class ReceiveBuffer:
    """Bytes that arrived and were not taken: offsets `taken` to `received`."""

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self.received = 0
        self.taken = 0
        self._chunks: deque[bytes | memoryview] = deque()

    @property
    def limit(self) -> int:
        """The offset up to which the peer may send."""
        return self.taken + self.window

    def offer(self, offset: int, data: bytes | memoryview) -> bool:
        """Takes what is new of these bytes and fits the window. False: something before them is missing, or did not fit."""
        if offset > self.received:
            return False
        fresh = data[self.received - offset : self.limit - offset]
        if fresh:
            self._chunks.append(fresh)
            self.received += len(fresh)
        return self.received >= offset + len(data)

    def take(self) -> bytes:
        """The next bytes for the consumer; empty when there are none now."""
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        self.taken += len(chunk)
        return bytes(chunk)

    def clear(self) -> None:
        """Drops what was not taken."""
        self._chunks.clear()
        self.taken = self.received
