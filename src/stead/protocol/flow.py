"""Bytes of one direction by absolute offset: what was written and not yet acknowledged, what has arrived and not been taken.

Contract: `SendBuffer` keeps at most `bound` bytes; `ReceiveBuffer` keeps at most `window` bytes, takes every byte once and
in order, and answers False when bytes are missing before those offered.
"""

from __future__ import annotations

from collections import deque

WINDOW = 256 << 10
"""What a sender may send of each stream and direction before it has heard any CREDIT; also what either side keeps."""


class SendBuffer:
    """Bytes written and not yet acknowledged: offsets `start` to `end`."""

    def __init__(self, bound: int = WINDOW) -> None:
        self.bound = bound
        self.start = 0
        self.end = 0
        self._bytes = bytearray()

    @property
    def room(self) -> int:
        """How many bytes may be kept beyond those kept now."""
        return self.bound - len(self._bytes)

    def write(self, data: bytes | memoryview) -> None:
        """Keeps these bytes, which fit into `room`."""
        self._bytes += data
        self.end += len(data)

    def peek(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on."""
        at = offset - self.start
        with memoryview(self._bytes) as view:
            return bytes(view[at : at + limit])

    def release(self, offset: int) -> None:
        """Forgets the bytes before `offset`; an older offset changes nothing."""
        count = min(offset, self.end) - self.start
        if count > 0:
            del self._bytes[:count]
            self.start += count


class ReceiveBuffer:
    """Bytes that arrived and were not taken: offsets `taken` to `received`."""

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self.received = 0
        self.taken = 0
        self._chunks: deque[bytes] = deque()

    @property
    def limit(self) -> int:
        """The offset up to which the peer may send."""
        return self.taken + self.window

    def offer(self, offset: int, data: bytes) -> bool:
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
        return chunk

    def clear(self) -> None:
        """Drops what was not taken."""
        self._chunks.clear()
        self.taken = self.received
