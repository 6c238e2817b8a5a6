"""`connect("HOST:PORT") -> Bytes`: a TCP connection; "unavailable" when nobody listens. `loopback(host)`: whether that is this
machine, for which no proxy is asked."""

from __future__ import annotations

import asyncio
import re

from stead.protocol.errors import SteadError
from stead.transport.sockets import TransportBytes

_LOOPBACK = re.compile(r"(.+\.)?localhost|127(\.\d{1,3}){3}|::1", re.ASCII | re.IGNORECASE)


def loopback(host: str) -> bool:
    """By its address, or the name that is always this machine's."""
    return _LOOPBACK.fullmatch(host) is not None


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
