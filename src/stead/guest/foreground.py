"""Commands whose caller is there only as long as its connection: one that goes away ends them.

Contract: `async with ended(toolbox, exec_id):` is around following an exec to its end; left early, however that comes, it ends
the exec. `Foreground(toolbox)` is what the methods of the guest protocol ask, with a `run` of that kind. On the framed link
execs have ids and callers who may come back; there `attendance` decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox.contract import Exec, ExecResult, FileContent, Written
from stead.toolbox.execs import new_id
from stead.toolbox.local import LocalToolbox


@contextlib.asynccontextmanager
async def ended(toolbox: LocalToolbox, exec_id: str) -> AsyncIterator[None]:
    """An exec that has ended already stays as it is."""
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True), contextlib.suppress(SteadError):
            await toolbox.cancel(exec_id)
        raise


class Foreground:
    """The toolbox of `stead.guest.asked`."""

    def __init__(self, toolbox: LocalToolbox) -> None:
        self._toolbox = toolbox
        self.system = toolbox.system

    async def run(self, exec: Exec) -> ExecResult:
        exec.exec_id = exec.exec_id or new_id()
        async with ended(self._toolbox, exec.exec_id):
            return await self._toolbox.run(exec)

    async def read(self, path: str, offset: int = 0, limit: int = 0) -> FileContent:
        return await self._toolbox.read(path, offset, limit)

    async def write(self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False) -> Written:
        return await self._toolbox.write(path, content, mode=mode, parents=parents)
