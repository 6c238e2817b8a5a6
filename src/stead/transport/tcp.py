"""`connect("HOST:PORT") -> Bytes`: a TCP connection; "unavailable" when nobody listens."""

from __future__ import annotations

import asyncio

from stead.protocol.errors import SteadError
from stead.transport.sockets import TransportBytes


async def connect(address: str) -> TransportBytes:
    """Brackets around an IPv6 address are no part of it."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise SteadError("invalid", f"{address!r} is no HOST:PORT")
    try:
        _, stream = await asyncio.get_running_loop().create_connection(TransportBytes, host.strip("[]"), int(port))
    except OSError as error:
        raise SteadError("unavailable", f"cannot connect to {address}: {error.strerror or error}") from None
    return stream
