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
from collections.abc import Callable
from pathlib import Path

from stead.protocol.errors import SteadError

LINKS = Path("/dev/virtio-ports")
PORTS = Path("/sys/class/virtio-ports")
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
    """An open character device that answers without waiting."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise SteadError("unavailable", f"{path}: {error.strerror}") from None
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()

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
        while self._descriptor >= 0:
            try:
                return os.read(self._descriptor, limit)
            except OSError as error:
                if error.errno not in _WAIT:
                    return b""
            await self._ready(self._loop.add_reader, self._loop.remove_reader)
        return b""

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
            await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], object]) -> None:
        """Until the system says that it is worth another try, or the device is closed."""
        future = self._loop.create_future()
        descriptor = self._descriptor
        self._waiting.add(future)
        add(descriptor, _wake, future)
        try:
            await future
        finally:
            self._waiting.discard(future)
            if self._descriptor >= 0:
                remove(descriptor)

    async def close(self) -> None:
        """Again changes nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            os.close(descriptor)
            for future in self._waiting:
                _wake(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
