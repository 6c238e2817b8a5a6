"""How a guest is reached: through a unix socket, a serial line behind one, or HTTP.

Contract: `Way.of(where)` takes a path, or a way as it is; `Way.http(address, token)` is `HOST:PORT` of a guest that serves
HTTP. `lines()` opens what carries the guest protocol's lines, `channel()` what can be upgraded to the framed link; with a
socket and HTTP these are the same.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple, Self

import anyio

from stead.protocol.connections import Bytes
from stead.protocol.errors import BY_STATUS, SteadError
from stead.protocol.guest import LINK_PATH, LINK_PROTOCOL
from stead.sdk.guest.console import JsonLines, LinkLines
from stead.transport import tcp, unix
from stead.transport.begun import Begun

HEAD_BYTES = 16 << 10
OPEN_SECONDS = 15.0
"""How long a server of HTTP may take to give a channel."""


class Way(NamedTuple):
    """To one guest."""

    where: str
    console: bool = False
    token: str | None = None
    seconds: float = OPEN_SECONDS

    @classmethod
    def of(cls, where: str | Path | Way) -> Way:
        return where if isinstance(where, Way) else cls(str(where))

    @classmethod
    def http(cls, address: str, token: str) -> Self:
        return cls(address, token=token)

    @property
    def name(self) -> str:
        """For messages."""
        return self.where if self.token is not None else Path(self.where).name

    async def lines(self) -> Bytes:
        """A connection that carries lines of the guest protocol."""
        found = await self._open()
        return JsonLines(found) if self.console else found

    async def channel(self) -> Bytes:
        """A connection as on any door."""
        found = await self._open()
        return LinkLines(found) if self.console else found

    async def _open(self) -> Bytes:
        if self.token is None:
            return await unix.connect(self.where)
        with anyio.move_on_after(self.seconds):
            return await _over_http(self.where, self.token)
        raise SteadError("unavailable", f"{self.where} gave no channel within {self.seconds:g} s")


async def _over_http(address: str, token: str) -> Bytes:
    connection = await tcp.connect(address)
    try:
        return await _switched(connection, address, token)
    except BaseException:
        with contextlib.suppress(SteadError):
            await connection.close()
        raise


async def _switched(connection: Bytes, address: str, token: str) -> Bytes:
    """Asks the server of HTTP for a channel."""
    request = (
        f"GET {LINK_PATH} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n"
        f"Connection: Upgrade\r\nUpgrade: {LINK_PROTOCOL}\r\n\r\n"
    )
    await connection.write(request.encode())
    came = b""
    while b"\r\n\r\n" not in came:
        data = await connection.read(HEAD_BYTES)
        came += data
        if not data or len(came) > HEAD_BYTES:
            raise SteadError("unavailable", f"{address} does not speak HTTP")
    head, _, rest = came.partition(b"\r\n\r\n")
    words = head.split(b"\r\n")[0].split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    if status != 101:
        said = words[-1].decode(errors="replace")
        raise SteadError(BY_STATUS.get(status, "unavailable"), f"{address} gave no channel: {status} {said}")
    return Begun(connection, rest)
