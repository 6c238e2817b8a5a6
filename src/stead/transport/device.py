"""A virtio-serial port as `Bytes`: the channel that a virtual machine has instead of a network.

Contract: `find(name)` gives the device of a port by its name, also where udev made no links. `Device(path)` is the open port;
`present()` tells whether anybody is at the other end. A port knows no connections: nobody there reads as the end, and the
same port serves whoever comes next.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import termios
import tty
from pathlib import Path

from stead.protocol.errors import SteadError

LINKS = Path("/dev/virtio-ports")
PORTS = Path("/sys/class/virtio-ports")
READ_BYTES = 64 << 10
"""What may wait to be read; then nothing more is taken from the system."""
_WAIT = {errno.EAGAIN, errno.EINTR}


def find(name: str, links: Path = LINKS, ports: Path = PORTS) -> Path:
    """The device of the port with this name; a path stays as it is."""
    if "/" in name:
        return Path(name)
    if (links / name).exists():
        return links / name
    for port in sorted(ports.glob("*/name")):
        if port.read_text().strip() == name:
            return Path("/dev") / port.parent.name
    raise SteadError("not_found", f"this machine has no virtio-serial port {name!r}")


class Device:
    """An open character device that answers without waiting.

    It stays registered with the loop from one read to the next, which costs less than asking anew each time; it is taken off
    while too much waits to be read, and at an end, which the system would tell of again and again.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise SteadError("unavailable", f"{path}: {error.strerror}") from None
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()
        self._reader: asyncio.Future[None] | None = None
        self._watched = False
        self._held = bytearray()

    def present(self) -> bool:
        """Whether the other side has opened it."""
        if self._descriptor < 0:
            return False
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return not any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))

    def raw(self) -> None:
        """For a serial line: bytes pass as they are, and nothing is echoed."""
        try:
            tty.setraw(self._descriptor, termios.TCSANOW)
        except termios.error as error:
            raise SteadError("unavailable", f"it is no serial line: {error}") from None

    async def read(self, limit: int) -> bytes:
        """At least one byte; empty when nobody is there any more."""
        while not self._held:
            if self._descriptor < 0:
                return b""
            if not self._watched:
                data = self._now(limit)
                if data is not None:
                    return data
                self._watch()
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
            if not self._watched and not self._held:
                return b""
        data = bytes(self._held[:limit])
        del self._held[:limit]
        return data

    def _now(self, limit: int) -> bytes | None:
        """What is there; empty at the end, None when there is nothing yet."""
        try:
            return os.read(self._descriptor, limit)
        except OSError as error:
            return None if error.errno in _WAIT else b""

    def _readable(self) -> None:
        data = self._now(READ_BYTES)
        if data is None:
            return
        self._held += data
        if not data or len(self._held) >= READ_BYTES:
            self._unwatch()
        if self._reader is not None:
            _wake(self._reader)

    def _watch(self) -> None:
        self._watched = True
        self._loop.add_reader(self._descriptor, self._readable)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._descriptor)

    async def write(self, data: bytes) -> None:
        """Returns when all is taken."""
        rest = memoryview(data)
        while rest:
            if self._descriptor < 0:
                raise SteadError("unavailable", "the device is closed")
            try:
                rest = rest[os.write(self._descriptor, rest) :]
                continue
            except OSError as error:
                if error.errno not in _WAIT or not self.present():
                    raise SteadError("unavailable", "nobody is at the other end of the device") from None
            await self._writable()

    async def _writable(self) -> None:
        """Until the system says that it is worth another try, or the device is closed."""
        future = self._loop.create_future()
        descriptor = self._descriptor
        self._waiting.add(future)
        self._loop.add_writer(descriptor, _wake, future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            if self._descriptor >= 0:
                self._loop.remove_writer(descriptor)

    async def close(self) -> None:
        """Again changes nothing."""
        if self._descriptor >= 0:
            self._unwatch()
            descriptor, self._descriptor = self._descriptor, -1
            self._loop.remove_writer(descriptor)
            os.close(descriptor)
            for future in self._waiting:
                _wake(future)
            if self._reader is not None:
                _wake(self._reader)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
