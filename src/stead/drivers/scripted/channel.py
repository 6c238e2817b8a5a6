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

    def __init__(
        self, output: SocketStream, sink: SocketStream, guest: subprocess.Popen[bytes], script: Script
    ) -> None:
        self._output = output
        self._sink = sink
        self._guest = guest
        self._left = script.lose_channel_after_bytes or None

    async def read(self, limit: int) -> bytes:
        if self._left is not None:
            limit = min(limit, self._left)
        if limit == 0:
            await self.close()
            return b""
        try:
            data = await self._output.receive(limit)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None
        if self._left is not None:
            self._left -= len(data)
        return data

    async def write(self, data: bytes) -> None:
        try:
            await self._sink.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise SteadError("unavailable", "the channel is closed") from None

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._sink.aclose()
            await self._output.aclose()
            await to_thread.run_sync(_end, self._guest)


async def open_channel(argv: list[str], environment: dict[str, str], script: Script) -> Bytes:
    """Starts a guest; each direction has a socket pair of its own, as two pipes would be."""
    sink, stdin = socket.socketpair()
    output, stdout = socket.socketpair()
    with stdin, stdout:
        guest = await to_thread.run_sync(_start, argv, environment, stdin.fileno(), stdout.fileno())
    for ours in (sink, output):
        ours.setblocking(False)
    return GuestChannel(await SocketStream.from_socket(output), await SocketStream.from_socket(sink), guest, script)


def _start(argv: list[str], environment: dict[str, str], stdin: int, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdin=stdin, stdout=stdout, env=environment, start_new_session=True)


def _end(guest: subprocess.Popen[bytes]) -> None:
    try:
        guest.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        guest.kill()
        guest.wait()
