"""The channel of a workspace on this machine: a unix socket, also where its path is longer than a socket's may be.

Contract: `connect(directory, name)` is a `Bytes`; raises "workspace_unreachable" when nobody listens. Links are not followed.
`by_link` is the way of systems without /proc: the socket is looked at first, then reached through a link in /tmp.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
from pathlib import Path

import anyio
from anyio.abc import SocketStream

from stead.protocol.errors import SteadError

LINUX = sys.platform == "linux"


class SocketBytes:
    """A `Bytes` over a connected socket. Who has a faster way to move bytes may `detach` the socket before the first use."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._stream: SocketStream | None = None

    def detach(self) -> socket.socket:
        """The socket; it belongs to the caller from now on."""
        assert self._stream is None, "already in use"
        return self._raw

    async def read(self, limit: int) -> bytes:
        try:
            return await (await self._open()).receive(limit)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None

    async def write(self, data: bytes) -> None:
        try:
            await (await self._open()).send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None

    async def close(self) -> None:
        if self._stream is None:
            self._raw.close()
        else:
            await self._stream.aclose()

    async def _open(self) -> SocketStream:
        if self._stream is None:
            self._stream = await SocketStream.from_socket(self._raw)
        return self._stream


async def connect(directory: Path, name: str, *, by_link: bool = not LINUX) -> SocketBytes:
    """Connects to `directory/name`. Never waits: a unix socket that listens answers at once."""
    try:
        return SocketBytes(_connected(directory, name, by_link))
    except OSError as error:
        raise SteadError("workspace_unreachable", f"the guest does not answer: {error.strerror or error}") from error


def _connected(directory: Path, name: str, by_link: bool) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        (_connect_by_link if by_link else _connect)(raw, directory, name)
    except BaseException:
        raw.close()
        raise
    return raw


def _connect(raw: socket.socket, directory: Path, name: str) -> None:
    """Never through a link: what lies there was put by the workspace."""
    descriptor = os.open(directory / name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise OSError("there is no socket")
        raw.connect(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _connect_by_link(raw: socket.socket, directory: Path, name: str) -> None:
    if not stat.S_ISSOCK((directory / name).lstat().st_mode):
        raise OSError("there is no socket")
    with tempfile.TemporaryDirectory(prefix="stead-", dir="/tmp") as folder:
        Path(folder, "d").symlink_to(directory.absolute())
        raw.connect(f"{folder}/d/{name}")
