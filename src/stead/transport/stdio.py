"""Pipes as `Bytes`: this process's standard input and output, or those of a child.

Contract: `over(reader, writer)` takes two open descriptors, which it then owns; `own()` is this process's stdin and stdout.
"""

from __future__ import annotations

import asyncio
import os

from stead.transport.sockets import TransportBytes


class _Sink(asyncio.BaseProtocol):
    """Tells the connection when the written side is congested or gone."""

    def __init__(self, stream: TransportBytes) -> None:
        self._stream = stream

    def pause_writing(self) -> None:
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        self._stream.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._stream.connection_lost(error)


async def over(reader: int, writer: int) -> TransportBytes:
    """Reads from one descriptor and writes to the other."""
    loop = asyncio.get_running_loop()
    stream = TransportBytes()
    source = os.fdopen(reader, "rb", buffering=0)
    sink = os.fdopen(writer, "wb", buffering=0)
    await loop.connect_read_pipe(lambda: stream, source)
    transport, _ = await loop.connect_write_pipe(lambda: _Sink(stream), sink)
    stream.write_to(transport)
    return stream


async def own() -> TransportBytes:
    """This process's standard input and output, on descriptors of their own."""
    return await over(os.dup(0), os.dup(1))
