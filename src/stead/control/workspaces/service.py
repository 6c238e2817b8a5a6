"""What people do with workspaces.

Contract: `ref` is an id, a unique beginning of an id, or a name (the caller's own first): "not_found", "ambiguous".
A member sees and changes only their own. Every change is one unit of the store, with its event.
"""

from __future__ import annotations

import msgspec

from stead.api.types import EventPage, Workspace, WorkspaceCreate, WorkspacePage, WorkspacePatch
from stead.control.people.caller import Caller


class WorkspaceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which workspaces to list; empty means any. `node` and `owner` are ids or names. Deleted ones only by state."""

    name: str = ""
    state: str = ""
    node: str = ""
    owner: str = ""
    labels: dict[str, str] = {}


class Workspaces:
    """The service."""

    async def create(self, caller: Caller, body: WorkspaceCreate, key: str = "") -> Workspace:
        """Durable when it returns; starting goes on by itself. The same key and body again answer the same workspace."""
        raise NotImplementedError

    async def get(self, caller: Caller, ref: str) -> Workspace:
        raise NotImplementedError

    async def list(self, caller: Caller, filters: WorkspaceFilter, limit: int, after: str) -> WorkspacePage:
        """Newest first."""
        raise NotImplementedError

    async def patch(self, caller: Caller, ref: str, body: WorkspacePatch, if_version: int | None) -> Workspace:
        """ "precondition_failed" when the version is another one by now."""
        raise NotImplementedError

    async def start(self, caller: Caller, ref: str) -> Workspace:
        raise NotImplementedError

    async def stop(self, caller: Caller, ref: str) -> Workspace:
        raise NotImplementedError

    async def restart(self, caller: Caller, ref: str) -> Workspace:
        raise NotImplementedError

    async def delete(self, caller: Caller, ref: str) -> Workspace:
        raise NotImplementedError

    async def history(self, caller: Caller, ref: str, after: str, limit: int) -> EventPage:
        """What happened to it."""
        raise NotImplementedError
