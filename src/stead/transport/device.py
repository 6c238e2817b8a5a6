"""A virtio-serial port as `Bytes`: the channel that a virtual machine has instead of a network.

Contract: `find(name)` gives the device of a port by its name, also where udev made no links. `Device(path)` is the open port;
`present()` tells whether anybody is at the other end. A port knows no connections: nobody there reads as the end, and the
same port serves whoever comes next. `put` may be called while `ready()`; what the system does not take at once waits.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import termios
import tty
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from stead.protocol.errors import SteadError

LINKS = Path("/dev/virtio-ports")
PORTS = Path("/sys/class/virtio-ports")
READ_BYTES = 64 << 10
"""What may wait to be read; then nothing more is taken from the system."""
WRITE_BYTES = 32 << 10
"""What the system takes of a port as one piece; pieces that are smaller go out with what follows them."""
WRITE_PIECES = 16
"""How many of them are given to it at once."""
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
        self._reader: asyncio.Future[None] | None = None
        self._watched = False
        self._held = bytearray()
        self._out: deque[memoryview] = deque()
        self._crowded = False
        self._drained: asyncio.Future[None] | None = None

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
        """Returns when all is taken; who writes meanwhile comes after."""
        await self._drain()
        if fault := self._give([data]):
            raise fault
        await self._drain()

    def ready(self) -> bool:
        """Whether `put` may be called."""
        return self._descriptor >= 0 and not self._out

    def put(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Gives all to the system. When nobody is there any more it is dropped: whoever reads is told of that."""
        self._give(pieces)

    def drop(self) -> None:
        """What still waits is for somebody who is gone."""
        self._settle(SteadError("unavailable", "the connection is closed"))

    def _give(self, pieces: Sequence[bytes | memoryview]) -> SteadError | None:
        if self._descriptor < 0:
            return SteadError("unavailable", "the device is closed")
        self._out.extend(_filled(pieces))
        return self._flush()

    def _flush(self) -> SteadError | None:
        """As much as the system takes; it says when another try is worth it."""
        try:
            while self._out:
                self._taken(os.writev(self._descriptor, list(islice(self._out, WRITE_PIECES))))
        except OSError as error:
            if error.errno in _WAIT and self.present():
                self._full()
                return None
            fault = SteadError("unavailable", "nobody is at the other end of the device")
            self._settle(fault)
            return fault
        self._settle(None)
        return None

    def _taken(self, size: int) -> None:
        """The system has taken so many bytes of what waits."""
        while size:
            first = self._out.popleft()
            if size < len(first):
                self._out.appendleft(first[size:])
                return
            size -= len(first)

    def _full(self) -> None:
        if not self._crowded:
            self._crowded = True
            self._loop.add_writer(self._descriptor, self._flush)

    def _settle(self, fault: SteadError | None) -> None:
        """Nothing waits any more."""
        self._out.clear()
        if self._crowded:
            self._crowded = False
            self._loop.remove_writer(self._descriptor)
        drained, self._drained = self._drained, None
        if drained is None:
            return
        if fault is None:
            drained.set_result(None)
        else:
            drained.set_exception(fault)
            drained.exception()

    async def _drain(self) -> None:
        while self._out:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def close(self) -> None:
        """Again changes nothing."""
        if self._descriptor >= 0:
            self._unwatch()
            self._settle(SteadError("unavailable", "the device is closed"))
            os.close(self._descriptor)
            self._descriptor = -1
            if self._reader is not None:
                _wake(self._reader)


def _filled(pieces: Sequence[bytes | memoryview]) -> Iterator[memoryview]:
    """The same bytes, so that few writes are short, and without copying what is large."""
    small: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        head = memoryview(piece)[: WRITE_BYTES - size]
        small.append(head)
        size += len(head)
        if size == WRITE_BYTES:
            yield memoryview(b"".join(small))
            small, size = [], 0
            rest = memoryview(piece)[len(head) :]
            while len(rest) >= WRITE_BYTES:
                yield rest[:WRITE_BYTES]
                rest = rest[WRITE_BYTES:]
            small, size = [rest], len(rest)
    if size:
        yield memoryview(b"".join(small))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
