"""Turns a fresh guest channel, which speaks JSON-RPC lines, into one that carries framed messages.

Contract: `upgrade(channel) -> Messages`; a guest that refuses or answers something else is an error. Closes the channel then.
"""

from __future__ import annotations

import socket
from typing import Protocol, runtime_checkable

from stead.protocol.connections import Bytes, Messages
from stead.transport import unix
from stead.transport import upgrade as lines


@runtime_checkable
class OverSocket(Protocol):
    """A channel that is a socket: our own transport moves its bytes faster."""

    def detach(self) -> socket.socket: ...


async def upgrade(channel: Bytes) -> Messages:
    """Over the channel, or over its socket."""
    if isinstance(channel, OverSocket):
        channel = await unix.over(channel.detach())
    try:
        return await lines.upgrade(channel)
    except BaseException:
        await channel.close()
        raise
