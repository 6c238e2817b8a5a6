"""What people see of commands.

Contract: a member sees the commands of their own workspaces. Cancelling takes back what was asked: a command that a node
has begun ends by itself ("conflict").
"""

from __future__ import annotations

import msgspec

from stead.api.types import Command, CommandPage
from stead.control.people.caller import Caller


class CommandFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which commands to list; empty means any. `workspace` and `node` are ids."""

    workspace: str = ""
    node: str = ""
    state: str = ""


class Commands:
    """The service."""

    async def get(self, caller: Caller, ref: str) -> Command:
        raise NotImplementedError

    async def list(self, caller: Caller, filters: CommandFilter, limit: int, after: str) -> CommandPage:
        """Newest first."""
        raise NotImplementedError

    async def cancel(self, caller: Caller, ref: str) -> Command:
        raise NotImplementedError
