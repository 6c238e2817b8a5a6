"""`Bytes` over asyncio transports: unix sockets, TCP, pipes.

Contract: `TransportBytes` is the protocol object; what was read and not taken is bounded (`READ_BYTES`), then reading
pauses; `put` may be called while `ready()`. Closing is at once for the reader; written bytes are still flushed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from stead.protocol.errors import SteadError

READ_BYTES = 512 << 10
WRITE_BYTES = 512 << 10
JOINED_BYTES = 16 << 10
"""What is smaller goes out joined, what is larger in its pieces."""
FLUSH_SECONDS = 5.0
"""How long written bytes may take to leave after closing."""


class TransportBytes(asyncio.Protocol):
    """One connection; for two pipes, the reader and the writer are set apart by `write_to`."""

    def __init__(self, connected: Callable[[TransportBytes], None] | None = None) -> None:
        self._connected = connected
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._eof = False
        self._paused_reading = False
        self._congested = False
        self._reader: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._source: asyncio.ReadTransport | None = None
        self._sink: asyncio.WriteTransport | None = None

    def write_to(self, sink: asyncio.WriteTransport) -> None:
        """Written bytes go to this transport."""
        sink.set_write_buffer_limits(high=WRITE_BYTES)
        self._sink = sink

    @property
    def descriptor(self) -> int:
        """Of the socket below; -1 where there is none."""
        below = self._source.get_extra_info("socket") if self._source else None
        return -1 if below is None else int(below.fileno())

    # --- Bytes

    async def read(self, limit: int) -> bytes:
        """At least one byte, at most `limit`; empty at the end."""
        while not self._chunks:
            if self._eof:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._take(limit)

    def _take(self, limit: int) -> bytes:
        chunk = self._chunks.popleft()
        if len(chunk) > limit:
            self._chunks.appendleft(chunk[limit:])
            chunk = chunk[:limit]
        self._held -= len(chunk)
        if self._paused_reading and self._held < READ_BYTES // 2 and self._source is not None:
            self._paused_reading = False
            self._source.resume_reading()
        return chunk

    async def write(self, data: bytes) -> None:
        """Returns when the bytes are taken by the system or the buffer is below its bound."""
        self._open_sink().write(data)
        while self._congested:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        self._open_sink()

    def ready(self) -> bool:
        """Whether `put` may be called."""
        return not self._congested and self._sink is not None and not self._sink.is_closing()

    def put(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Writes at once, and large pieces as they are."""
        if self._sink is not None and not self._sink.is_closing():
            if sum(map(len, pieces)) < JOINED_BYTES:
                self._sink.write(b"".join(pieces))
            else:
                self._sink.writelines(pieces)

    def _open_sink(self) -> asyncio.WriteTransport:
        if self._sink is None or self._sink.is_closing():
            raise SteadError("unavailable", "the connection is closed")
        return self._sink

    async def close(self) -> None:
        """Closes both directions; again changes nothing. What the other side does not read in time is dropped."""
        if self._sink is not None:
            if self._sink.get_write_buffer_size() and not self._sink.is_closing():
                asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._sink.abort)
            self._sink.close()
        if self._source is not None:
            self._source.close()
        self._ended()

    def abort(self) -> None:
        """Closes without flushing."""
        if self._sink is not None:
            self._sink.abort()
        if self._source is not None:
            self._source.close()
        self._ended()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if hasattr(transport, "pause_reading"):
            self._source = cast("asyncio.ReadTransport", transport)
        if hasattr(transport, "write"):
            self.write_to(cast("asyncio.WriteTransport", transport))
        if self._connected is not None:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._held += len(data)
        if self._held >= READ_BYTES and not self._paused_reading and self._source is not None:
            self._paused_reading = True
            self._source.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._eof = True
        self._wake_reader()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._ended()

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False
        self._wake_writer()

    def _ended(self) -> None:
        self._eof = True
        self._congested = False
        self._wake_reader()
        self._wake_writer()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
