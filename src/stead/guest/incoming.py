"""The lines that come over one connection, whole.

Contract: `Incoming(connection, most).next()` is the next line without its end, or None when the peer is gone. One that has
`most` bytes or more is a TooLongError, once, and is passed over. A line that was begun and of which nothing comes any more is
dropped after `patience` seconds. Where one connection has one peer after the other (`Shared`), the lines of who comes at once
after another follow those of that one. `rest` is what was read beyond the last line.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, runtime_checkable

from stead.protocol.connections import Bytes

READ = 1 << 16
PATIENCE = 60.0
"""How long half a line waits for the next piece of it."""


@runtime_checkable
class Shared(Bytes, Protocol):
    """Bytes on which nothing tells a peer from the one before, but for a moment in which nobody is there; and the system may
    tell of that moment only after the next one was answered already."""

    async def again(self) -> bool:
        """After an end: whether somebody is there again at once."""


class TooLongError(Exception):
    """A line over the limit."""


class Incoming:
    """Those of one connection; with `returns` a carriage return ends a line, too, as on a terminal."""

    def __init__(self, connection: Bytes, most: int, patience: float = PATIENCE, *, returns: bool = False) -> None:
        self._connection = connection
        self._shared = connection if isinstance(connection, Shared) else None
        self._most = most
        self._patience = patience
        self._returns = returns
        self._buffer = bytearray()
        self._skipping = False

    @property
    def rest(self) -> bytes:
        return bytes(self._buffer)

    async def next(self) -> bytes | None:
        """The next line."""
        while True:
            while (end := self._buffer.find(b"\n")) < 0:
                self._check()
                data = await self._more()
                if data:
                    self._buffer += data.replace(b"\r", b"\n") if self._returns else data
                elif await self.again():
                    self._drop()
                else:
                    return None
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if self._skipping:
                self._skipping = False
            elif len(line) >= self._most:
                raise TooLongError
            else:
                return line

    async def again(self) -> bool:
        """After an end: whether it only parts two peers."""
        return self._shared is not None and await self._shared.again()

    def _check(self) -> None:
        """What is too long already is not kept."""
        if len(self._buffer) >= self._most:
            self._buffer.clear()
            skipping, self._skipping = self._skipping, True
            if not skipping:
                raise TooLongError

    async def _more(self) -> bytes:
        """What comes next; the read goes on when half a line is dropped meanwhile, for some connections end with their read."""
        if not (self._buffer or self._skipping):
            return await self._connection.read(READ)
        timer = asyncio.get_running_loop().call_later(self._patience, self._drop)
        try:
            return await self._connection.read(READ)
        finally:
            timer.cancel()

    def _drop(self) -> None:
        """What comes next begins a line."""
        self._buffer.clear()
        self._skipping = False
