"""What the methods of the guest protocol ask of a toolbox, whole or small.

Contract: `Toolbox` is the shape; `stead.toolbox.local` has it, and the machine of `stead.guest.windows`.
"""

from __future__ import annotations

from typing import Protocol

from stead.toolbox.contract import Exec, ExecResult, FileContent, Written
from stead.toolbox.system.contract import Disks, Network, PowerChange, SystemInfo


class Facts(Protocol):
    """What a machine tells of itself, and its power."""

    async def info(self) -> SystemInfo: ...

    async def network(self) -> Network: ...

    async def disks(self) -> Disks: ...

    async def shutdown(self, *, delay: float = 0.0, force: bool = False) -> PowerChange: ...

    async def reboot(self, *, delay: float = 0.0, force: bool = False) -> PowerChange: ...


class Toolbox(Protocol):
    """Files, commands, facts and power."""

    @property
    def system(self) -> Facts: ...

    async def run(self, exec: Exec) -> ExecResult:
        """To its end; a caller that goes away ends it."""

    async def read(self, path: str, offset: int = 0, limit: int = 0) -> FileContent: ...

    async def write(self, path: str, content: bytes, *, mode: int | None = None, parents: bool = False) -> Written: ...
