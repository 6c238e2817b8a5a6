"""What a driver must do: a dozen verbs at most; everything else is a capability it states.

Contract: every verb is idempotent and may be repeated after a crash at any point. `start` with a handle or a half-made
workspace of the same id finishes it. A driver knows nothing of the wire: `channel` hands back a plain byte connection to
the guest. A handle is opaque to the node, carries a version, and is all that is needed to find the workspace again.
Failures are `SteadError`: "driver_failed" may be tried again, "refused" and "isolation_unavailable" may not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from stead.model.workspaces import Isolation, Limit
from stead.protocol.connections import Bytes
from stead.protocol.messages import DriverFacts, WorkspaceSpec

Progress = Callable[[str, str], Awaitable[None]]
"""Called as `await progress(step, detail)` while a verb works."""


class Handle(msgspec.Struct, frozen=True):
    """Finds a workspace again after any crash."""

    version: int
    driver: str
    workspace_id: str
    data: dict[str, str]


class Sight(StrEnum):
    """What is there."""

    RUNNING = "running"
    STOPPED = "stopped"
    ABSENT = "absent"
    BROKEN = "broken"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace as the driver sees it now, with what it honestly has."""

    sight: Sight
    isolation: Isolation = Isolation.NONE
    limits: tuple[Limit, ...] = ()
    generation: int = 0
    command_id: str = ""
    guest_restarts: int = 0
    note: str = ""


class Found(msgspec.Struct, frozen=True):
    """One thing on this machine that carries our label."""

    workspace_id: str
    generation: int
    handle: Handle


class Driver(Protocol):
    """The verbs. `command_id` labels what is made, so that "already there with my label" is success."""

    name: str

    def facts(self) -> DriverFacts:
        """What this machine can give, probed, not guessed."""

    async def start(self, spec: WorkspaceSpec, command_id: str, progress: Progress) -> Handle:
        """Make (or finish making, or start again) the workspace and its guest."""

    async def stop(self, handle: Handle, grace: float) -> None:
        """End every process; keep the files. Already stopped is success."""

    async def delete(self, handle: Handle) -> None:
        """Remove everything. Already gone is success."""

    async def status(self, handle: Handle) -> Status:
        """Look, do not act."""

    async def channel(self, handle: Handle) -> Bytes:
        """A new byte connection to the guest; raises "workspace_unreachable" when there is none."""

    async def find(self) -> list[Found]:
        """Everything on this machine that carries our label, whoever started it."""

    async def close(self) -> None:
        """Let go of everything without stopping any workspace."""
