"""The channel of a scripted workspace: a guest with the scripted toolbox on stdin and stdout, cut when the script says so.

Contract: `open_channel(argv, script) -> Bytes`; closing it, or the end of this program, ends the guest.
"""

from __future__ import annotations

import socket
import subprocess

import anyio
from anyio import to_thread
from anyio.abc import SocketStream

from stead.drivers.scripted.script import Script
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError

END_SECONDS = 5.0


class GuestChannel:
    """A `Bytes` to a guest that lives as long as the channel."""

    def __init__(self, stream: SocketStream, guest: subprocess.Popen[bytes], script: Script) -> None:
        self._stream = stream
        self._guest = guest
        self._left = script.lose_channel_after_bytes or None

    async def read(self, limit: int) -> bytes:
        if self._left is not None:
            limit = min(limit, self._left)
        if limit == 0:
            await self.close()
            return b""
        try:
            data = await self._stream.receive(limit)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None
        if self._left is not None:
            self._left -= len(data)
        return data

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
            await to_thread.run_sync(_end, self._guest)


async def open_channel(argv: list[str], environment: dict[str, str], script: Script) -> Bytes:
    """Starts a guest whose stdin and stdout are one end of a socket pair."""
    ours, theirs = socket.socketpair()
    with theirs:
        guest = await to_thread.run_sync(_start, argv, environment, theirs.fileno())
    ours.setblocking(False)
    return GuestChannel(await SocketStream.from_socket(ours), guest, script)


def _start(argv: list[str], environment: dict[str, str], end: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdin=end, stdout=end, env=environment, start_new_session=True)


def _end(guest: subprocess.Popen[bytes]) -> None:
    try:
        guest.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        guest.kill()
        guest.wait()
