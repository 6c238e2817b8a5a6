"""What people see of commands.

Contract: a member sees the commands of their own workspaces. Cancelling takes back what was asked; a command that a node
has begun ends by itself ("conflict").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from stead.api.types import Command, CommandPage
from stead.control.commands import results
from stead.control.commands.dispatcher import Dispatcher
from stead.control.nodes.registry import NodeRegistry
from stead.control.people.caller import Caller
from stead.control.store import commands
from stead.control.store.filters import shown
from stead.control.store.fresh import fresh
from stead.control.store.rows import Connection, Row
from stead.control.store.store import Store
from stead.control.store.units import quick
from stead.model.commands import ENDED
from stead.model.ids import Kind
from stead.model.workspaces import CommandKind
from stead.protocol.errors import Fault, SteadError
from stead.protocol.messages import CommandCancel
from stead.protocol.methods import Right

CANCEL_SECONDS = 10.0


class CommandFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which commands to list; empty means any. `workspace` and `node` are ids."""

    workspace: str = ""
    node: str = ""
    state: str = ""


class Commands:
    """The service."""

    def __init__(
        self, store: Store, registry: NodeRegistry, dispatcher: Dispatcher, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._registry = registry
        self._dispatcher = dispatcher
        self._clock = clock

    async def get(self, caller: Caller, ref: str) -> Command:
        caller.require(Right.READ)
        return _view(await self._store.read(_find, caller, ref))

    async def list(self, caller: Caller, filters: CommandFilter, limit: int, after: str) -> CommandPage:
        """Newest first."""
        caller.require(Right.READ)
        rows = await self._store.read(_page, caller, filters, limit, after)
        more = rows[limit - 1].id if len(rows) > limit else ""
        return CommandPage(items=[_view(row) for row in rows[:limit]], next=more)

    async def cancel(self, caller: Caller, ref: str) -> Command:
        """What waits is cancelled at once; what a node has is cancelled if the node agrees that it has not begun."""
        caller.require(Right.WRITE)
        row = await self._store.read(_find, caller, ref)
        if row.state in ENDED:
            raise SteadError("conflict", f"the command is {row.state} already")
        moved = await self._store.write(results.cancel, row.id, True, self._clock())
        if moved is None:
            await self._ask_node(row)
            moved = await self._store.write(results.cancel, row.id, False, self._clock())
        self._dispatcher.moved(moved)
        return await self.get(caller, row.id)

    async def _ask_node(self, row: Row[Any]) -> None:
        message = CommandCancel(request_id=fresh(Kind.REQUEST), command_id=row.id)
        answer = await self._registry.link(row.node_id).request(message, CANCEL_SECONDS)
        if not (isinstance(answer, dict) and answer.get("cancelled") is True):
            raise SteadError("conflict", "the node has begun the command; it ends by itself")


@quick
def _find(conn: Connection, caller: Caller, ref: str) -> Row[Any]:
    row = commands.by_id(conn, ref)
    if row is None or not caller.may_see(row.owner):
        raise SteadError("not_found", f"no such command: {shown(ref)}")
    return row


def _page(conn: Connection, caller: Caller, filters: CommandFilter, limit: int, after: str) -> list[Row[Any]]:
    c = commands.c
    asked = ((c.workspace_id, filters.workspace), (c.node_id, filters.node), (c.state, filters.state))
    where = [column == value for column, value in asked if value]
    if not caller.is_admin:
        where.append(c.owner == caller.user_id)
    return commands.page(conn, where, limit, after)


def _view(row: Row[Any]) -> Command:
    return Command(
        id=row.id,
        workspace_id=row.workspace_id,
        node_id=row.node_id,
        sequence=row.sequence,
        kind=CommandKind(row.kind),
        state=row.state,
        attempts=row.attempts,
        deadline=row.deadline,
        created=row.created,
        sent=row.sent,
        acknowledged=row.acknowledged,
        ended=row.ended,
        error=None if row.error is None else msgspec.convert(row.error, Fault),
    )
