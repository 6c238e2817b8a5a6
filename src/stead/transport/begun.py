"""`Begun(connection, came)`: a byte connection of which some was read already; that is read first."""

from __future__ import annotations

from stead.protocol.connections import Bytes


class Begun:
    """As `Bytes`."""

    def __init__(self, connection: Bytes, came: bytes) -> None:
        self._connection = connection
        self._came = came

    async def read(self, limit: int) -> bytes:
        """At least one byte, at most `limit`; empty at the end."""
        data, self._came = self._came[:limit], self._came[limit:]
        return data or await self._connection.read(limit)

    async def write(self, data: bytes) -> None:
        await self._connection.write(data)

    async def close(self) -> None:
        await self._connection.close()
