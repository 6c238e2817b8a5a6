"""What every measurement gets: a running server of its own, a client, and workspaces that are deleted again."""

import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stead.sdk import Stead, Workspace
from stead.testing.server import Server


@dataclass(frozen=True)
class Bench:
    """One server and one client for a whole run."""

    server: Server
    stead: Stead

    @asynccontextmanager
    async def workspace(self) -> AsyncIterator[Workspace]:
        """A running workspace of the process driver."""
        workspace = await self.stead.workspaces.create()
        try:
            yield workspace
        finally:
            await workspace.delete()

    async def seconds(self, work: Awaitable[object]) -> float:
        """How long one piece of work takes."""
        start = time.perf_counter()
        await work
        return time.perf_counter() - start
