"""Standard input and output as `Port`, read and written in threads: the way to try the guest by hand, on any system.

Contract: `Stdio()` is it. Whoever started the guest is there until the input ends.
"""

from __future__ import annotations

import os
from functools import partial

import anyio
from anyio import to_thread

from stead.protocol.errors import SteadError

_INPUT, _OUTPUT = 0, 1


class Stdio:
    """One connection."""

    def __init__(self) -> None:
        self._turn = anyio.Lock()

    async def present(self) -> bool:
        return True

    async def read(self, limit: int) -> bytes:
        return await to_thread.run_sync(partial(os.read, _INPUT, limit), abandon_on_cancel=True)

    async def write(self, data: bytes) -> None:
        async with self._turn:
            try:
                await to_thread.run_sync(self._write, data)
            except OSError as error:
                raise SteadError("unavailable", f"standard output: {error.strerror}") from None

    async def close(self) -> None:
        """They are not ours to close."""

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(_OUTPUT, rest) :]
