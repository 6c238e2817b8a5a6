"""One connection to the guest, from its first line on: JSON-RPC until `link.upgrade`, then whatever the upgrade makes of it.

Contract: `Channel(connection, rpc, upgrade).run()` gives the bytes read beyond the upgrade line, or None when the peer is gone.
Requests are answered as they finish, so a long one blocks nothing; `link.upgrade` must be the only one under way; without an
upgrade it is no method.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from stead.guest.rpc import Rpc, RpcError, encode, envelope, parse, too_long
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.guest import INVALID_REQUEST, UPGRADE, Upgraded

Connected = Callable[[Bytes], Awaitable[None]]
"""Serves one channel, from its first byte to its last."""

READ = 1 << 16
LINES = 64
"""Lines being answered at once; then nothing more is read."""


class Channel:
    """The lines of one connection."""

    def __init__(self, connection: Bytes, rpc: Rpc, upgraded: Callable[[], Upgraded] | None) -> None:
        self._connection = connection
        self._rpc = rpc
        self._most = rpc.limits.line_bytes
        self._upgraded = upgraded
        self._buffer = bytearray()
        self._skipping = False
        self._lines = anyio.CapacityLimiter(LINES)

    async def run(self) -> bytes | None:
        """Until the upgrade (what was read after it) or the end (None)."""
        rest: bytes | None = None
        async with anyio.create_task_group() as group:
            while (line := await self._line()) is not None:
                if line and await self._take(line, group):
                    rest = bytes(self._buffer)
                    break
            else:
                group.cancel_scope.cancel()
        return rest

    async def _line(self) -> bytes | None:
        """The next line; empty for one that is to be passed over."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) >= self._most:
                self._buffer.clear()
                if not self._skipping:
                    self._skipping = True
                    await self._send(too_long(self._most))
            data = await self._connection.read(READ)
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if self._skipping:
            self._skipping = False
            return b""
        if len(line) >= self._most:
            await self._send(too_long(self._most))
            return b""
        return line.strip()

    async def _take(self, line: bytes, group: TaskGroup) -> bool:
        """Answers the line, now or later. True when the channel was upgraded."""
        upgrade = UPGRADE.encode() in line and _upgrade_id(line)
        if upgrade and self._upgraded is not None:
            return await self._upgrade(upgrade[0], self._upgraded)
        await self._lines.acquire_on_behalf_of(token := object())
        group.start_soon(self._answer, line, token)
        return False

    async def _answer(self, line: bytes, token: object) -> None:
        try:
            answer = await self._rpc.answer(line)
            if answer is not None:
                await self._send(answer)
        except SteadError:
            return
        finally:
            self._lines.release_on_behalf_of(token)

    async def _upgrade(self, number: str | int | None, upgraded: Callable[[], Upgraded]) -> bool:
        if self._rpc.running or self._lines.borrowed_tokens:
            error = RpcError(INVALID_REQUEST, "link.upgrade must wait until other requests are answered")
            await self._send(encode({"jsonrpc": "2.0", "id": number, "error": error.error}))
            return False
        await self._send(encode({"jsonrpc": "2.0", "id": number, "result": upgraded()}))
        return True

    async def _send(self, line: bytes) -> None:
        await self._connection.write(line + b"\n")


def _upgrade_id(line: bytes) -> tuple[str | int | None] | None:
    """The id of a well-formed upgrade request."""
    try:
        value = parse(line)
    except RpcError:
        return None
    number, has_id, error = envelope(value)
    if error is not None or not has_id or value["method"] != UPGRADE:
        return None
    return (number,)
