"""One connection to the guest, from its first line on: JSON-RPC until `link.upgrade`, then whatever the upgrade makes of it.

Contract: `Channel(connection, rpc, upgrade).run()` gives the bytes read beyond the upgrade line, or None when the peer is gone.
Requests are answered as they finish, so a long one blocks nothing; `link.upgrade` must be the only one under way; without an
upgrade it is no method. How lines come, and when half of one is dropped, is in `incoming`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec

from stead.guest.incoming import PATIENCE, Incoming, TooLongError
from stead.guest.rpc import Rpc, RpcError, encode, envelope, parse, too_long
from stead.protocol.connections import Bytes
from stead.protocol.errors import SteadError
from stead.protocol.guest import INVALID_PARAMS, INVALID_REQUEST, UPGRADE, Upgrade, Upgraded
from stead.protocol.version import agree

Connected = Callable[[Bytes], Awaitable[None]]
"""Serves one channel, from its first byte to its last."""

LINES = 64
"""Lines being answered at once; then nothing more is read."""


class Channel:
    """The lines of one connection."""

    def __init__(
        self, connection: Bytes, rpc: Rpc, upgraded: Callable[[], Upgraded] | None, patience: float = PATIENCE
    ) -> None:
        self._connection = connection
        self._incoming = Incoming(connection, rpc.limits.line_bytes, patience)
        self._rpc = rpc
        self._upgraded = upgraded
        self._answers: set[asyncio.Task[None]] = set()
        self._over = False

    @property
    def idle(self) -> bool:
        """Whether it asks for nothing: its peer would miss nothing that is under way."""
        return not self._over and not self._answers

    async def run(self) -> bytes | None:
        """Until the upgrade (what was read after it) or the end (None)."""
        rest: bytes | None = None
        async with asyncio.TaskGroup() as group:
            with contextlib.suppress(SteadError):  # who is gone before its answer is gone
                while (line := await self._line()) is not None:
                    if line and await self._take(line, group):
                        rest = self._incoming.rest
                        break
            for answer in self._answers:
                answer.cancel()
        self._over = True
        return rest

    async def _line(self) -> bytes | None:
        """The next line; empty for one that is to be passed over."""
        try:
            line = await self._incoming.next()
        except TooLongError:
            await self._send(too_long(self._rpc.limits.line_bytes))
            return b""
        return line if line is None else line.strip()

    async def _take(self, line: bytes, group: asyncio.TaskGroup) -> bool:
        """Answers the line, now or later. True when the channel was upgraded."""
        upgrade = UPGRADE.encode() in line and _upgrade_of(line)
        if upgrade and self._upgraded is not None:
            return await self._upgrade(*upgrade, self._upgraded)
        while len(self._answers) >= LINES:
            await asyncio.wait(self._answers, return_when=asyncio.FIRST_COMPLETED)
        self._answers.add(group.create_task(self._answer(line)))
        return False

    async def _answer(self, line: bytes) -> None:
        try:
            answer = await self._rpc.answer(line)
            if answer is not None:
                await self._send(answer)
        except SteadError:
            return
        finally:
            self._answers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _upgrade(self, number: str | int | None, params: object, upgraded: Callable[[], Upgraded]) -> bool:
        try:
            _check(params)
            if self._rpc.running or self._answers:
                raise RpcError(INVALID_REQUEST, "link.upgrade must wait until other requests are answered")
        except RpcError as error:
            await self._send(encode({"jsonrpc": "2.0", "id": number, "error": error.error}))
            return False
        await self._send(encode({"jsonrpc": "2.0", "id": number, "result": upgraded()}))
        return True

    async def _send(self, line: bytes) -> None:
        """Once more to who comes at once after another: some of the line may be lost by then, which a new line ends."""
        try:
            await self._connection.write(line + b"\n")
        except SteadError:
            if not await self._incoming.again():
                raise
            await self._connection.write(b"\n" + line + b"\n")


def _upgrade_of(line: bytes) -> tuple[str | int | None, object] | None:
    """Id and params of a well-formed upgrade request."""
    try:
        value = parse(line)
    except RpcError:
        return None
    number, has_id, error = envelope(value)
    if error is not None or not has_id or value["method"] != UPGRADE:
        return None
    return number, value.get("params")


def _check(params: object) -> None:
    """As with every method; and whether both sides speak the same."""
    try:
        asked = msgspec.convert({} if params is None else params, Upgrade)
        if asked.protocol:
            agree(asked.protocol)
    except msgspec.ValidationError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from None
    except SteadError as error:
        raise RpcError.of(error) from None
