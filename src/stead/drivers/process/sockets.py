"""The channel of a workspace on this machine: a unix socket, also where its path is longer than a socket's may be.

Contract: `connect(directory, name) -> Bytes`; raises "workspace_unreachable" when nobody listens.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import anyio
from anyio.abc import SocketStream

from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError

_PATH_BYTES = 100


class SocketBytes:
    """A `Bytes` over a connected socket."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    async def read(self, limit: int) -> bytes:
        try:
            return await self._stream.receive(limit)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None

    async def close(self) -> None:
        await self._stream.aclose()


async def connect(directory: Path, name: str) -> Bytes:
    """Connects to `directory/name`. Never waits: a unix socket that listens answers at once."""
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        _connect(raw, directory, name)
        return SocketBytes(await SocketStream.from_socket(raw))
    except OSError as error:
        raw.close()
        raise SteadError("workspace_unreachable", f"the guest does not answer: {error.strerror or error}") from error


def _connect(raw: socket.socket, directory: Path, name: str) -> None:
    path = str(directory / name)
    if len(os.fsencode(path)) <= _PATH_BYTES or sys.platform != "linux":
        raw.connect(path)
        return
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        raw.connect(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)
