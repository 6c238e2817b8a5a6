"""Turns a fresh guest channel, which speaks JSON-RPC lines, into one that carries framed messages.

Contract: `upgrade(channel) -> Messages`; a guest that refuses or answers something else is "workspace_unreachable".
"""

from __future__ import annotations

import socket
from typing import Protocol, runtime_checkable

import msgspec

from stead.protocol.connections import Bytes, Messages
from stead.protocol.errors import SteadError
from stead.protocol.version import PROTOCOL
from stead.transport import unix
from stead.transport.framed import Framed

LINE_BYTES = 64 << 10
_READ = 64 << 10
_REQUEST = {"jsonrpc": "2.0", "id": 1, "method": "link.upgrade", "params": {"protocol": PROTOCOL}}


class _Problem(msgspec.Struct):
    message: str = ""


class _Answer(msgspec.Struct):
    """A JSON-RPC answer, as far as it matters."""

    id: int | str | None = None
    error: _Problem | None = None


@runtime_checkable
class OverSocket(Protocol):
    """A channel that is a socket: our own transport moves its bytes faster."""

    def detach(self) -> socket.socket: ...


async def upgrade(channel: Bytes) -> Messages:
    """Asks for the upgrade; what follows the answer's line belongs to the framed form. Closes the channel on failure."""
    if isinstance(channel, OverSocket):
        channel = await unix.over(channel.detach())
    try:
        return await _upgrade(channel)
    except BaseException:
        await channel.close()
        raise


async def _upgrade(channel: Bytes) -> Messages:
    await channel.write(msgspec.json.encode(_REQUEST) + b"\n")
    buffer = b""
    while b"\n" not in buffer:
        piece = await channel.read(_READ)
        if not piece or len(buffer) > LINE_BYTES:
            raise SteadError("workspace_unreachable", "the guest closed the channel")
        buffer += piece
    line, _, rest = buffer.partition(b"\n")
    try:
        answer = msgspec.json.decode(line, type=_Answer)
    except msgspec.DecodeError:
        raise SteadError("workspace_unreachable", "the guest answered something else than JSON-RPC") from None
    if answer.error is not None:
        raise SteadError("workspace_unreachable", f"the guest refused the link: {answer.error.message}")
    return Framed(channel, before=rest)
