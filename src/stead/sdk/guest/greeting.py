"""The first words on a guest's channel: nothing on it tells a new client from the one before, so the two get in step first.

Contract: `Greeting(channel).step()` returns once the guest answers here: then it is no longer in the middle of something of
whoever was here before. `heard(method, number)` gives the answer to one more request, if it comes in time. `rest` is what was
read beyond it. Lines of before, and those that are no answers, are passed over.
"""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.guest import LINE_BYTES, READY

AGAIN_SECONDS = 2.0
"""How soon a guest that does not answer at first is asked again."""
READ = 1 << 16
_STEP = "stead-step"


class Greeting:
    """The beginning of one connection."""

    def __init__(self, channel: Bytes) -> None:
        self._channel = channel
        self.rest = b""

    async def step(self) -> None:
        """Asks until it is answered; the caller has the deadline."""
        while await self.heard("ping", _STEP, AGAIN_SECONDS) is None:
            pass

    async def heard(self, method: str, number: str, seconds: float) -> dict[str, Any] | None:
        """The answer to this request; None when it does not come in time, or the guest says that it has just begun."""
        request = msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method})
        await self._channel.write(b"\n" + request + b"\n")
        with anyio.move_on_after(seconds):
            while True:
                value = decoded(await self._line())
                if value is not None and value.get("id") == number:
                    return value
                if value is not None and value.get("method") == READY:
                    return None
        return None

    async def _line(self) -> bytes:
        while b"\n" not in self.rest:
            data = await self._channel.read(READ)
            if not data:
                raise SteadError("unavailable", "the guest hung up")
            self.rest = self.rest[-LINE_BYTES:] + data
        line, _, self.rest = self.rest.partition(b"\n")
        return line


def decoded(line: bytes) -> dict[str, Any] | None:
    """The object that a line is; None for anything else."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
