"""A terminal for one program: this side of it.

Contract: `Terminal(size)` raises SteadError where there can be none; `name` is what a program opens. `read` gives what it shows
and waits for more; empty once it is closed, and after `end` when all is read. `write` types; what nobody reads is dropped
beyond a bound, as terminals do. `hang_up(session)` is what a line that is gone means to all who were on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios

from stead.toolbox.confine import errors

TYPED_BYTES = 1 << 16
"""Keys that wait for a program that reads none."""
LEFT_BYTES = 1 << 16
"""What is read after the end, whoever still writes: as much as the system holds of a terminal."""
ENTER = 'exec "$@" <"$0" >"$0" 2>&1'
"""What a shell that leads its session runs to make the terminal (`$0`) its own: it opens it."""


class Terminal:
    """A pseudo-terminal. Both ends stay open until it is closed, so that it does not end before its program began."""

    def __init__(self, size: tuple[int, int]) -> None:
        with errors("a terminal"):
            self._ours, self._theirs = os.openpty()
        self._loop = asyncio.get_running_loop()
        self._typed = bytearray()
        self._waiting: asyncio.Future[None] | None = None
        self._left = -1
        self.name = os.ttyname(self._theirs)
        self.closed = False
        os.set_blocking(self._ours, False)
        self.resize(*size)

    def resize(self, rows: int, columns: int) -> None:
        """Tells the program, too."""
        if not self.closed:
            fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, keys: bytes) -> None:
        if not self.closed:
            self._typed += keys[: TYPED_BYTES - len(self._typed)]
            self._type()

    def _type(self) -> None:
        self._loop.remove_writer(self._ours)
        try:
            while self._typed:
                del self._typed[: os.write(self._ours, self._typed)]
        except BlockingIOError:
            self._loop.add_writer(self._ours, self._type)

    async def read(self, limit: int) -> bytes:
        while not self.closed:
            try:
                return self._shown(limit)
            except BlockingIOError:
                if self._left >= 0:
                    return b""
                await self._readable()
        return b""

    def _shown(self, limit: int) -> bytes:
        if self._left < 0:
            return os.read(self._ours, limit)
        data = os.read(self._ours, min(limit, self._left))
        self._left -= len(data)
        return data

    def end(self) -> None:
        """Its program is over: what it shows is read to the end, and nothing is waited for."""
        self._left = LEFT_BYTES
        if self._waiting is not None:
            _wake(self._waiting)

    async def _readable(self) -> None:
        self._waiting = future = self._loop.create_future()
        self._loop.add_reader(self._ours, _wake, future)
        try:
            await future
        finally:
            if not self.closed:
                self._loop.remove_reader(self._ours)

    def close(self) -> None:
        """Hangs up. Again changes nothing."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._ours)
        self._loop.remove_writer(self._ours)
        os.close(self._ours)
        os.close(self._theirs)
        if self._waiting is not None:
            _wake(self._waiting)


def hang_up(session: int) -> None:
    """Also those that a shell put into the background: not every shell tells them. Who wants to live on ignores it."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/proc"):  # noqa: PTH208 (without pathlib)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if name.isdigit() and os.getsid(int(name)) == session:
                    os.kill(int(name), signal.SIGHUP)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
