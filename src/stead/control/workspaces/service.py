"""What people do with workspaces.

Contract: `ref` is an id, a unique beginning of an id, or a name (the caller's own first): "not_found", "ambiguous".
A member sees and changes only their own. Every change is one unit of the store, with its event. What is asked is durable
when a method returns; a node does it as soon as it can.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import msgspec

from stead.api.types import EventPage, Workspace, WorkspaceCreate, WorkspacePage, WorkspacePatch
from stead.control.commands.dispatcher import Dispatcher
from stead.control.nodes.registry import NodeRegistry
from stead.control.people.caller import Caller
from stead.control.store import commands, events, nodes, workspaces
from stead.control.store.fresh import fingerprint, fresh
from stead.control.store.rows import Connection, Row
from stead.control.store.store import Store
from stead.control.workspaces import views
from stead.control.workspaces.advance import Moved, advance, create, facts_of
from stead.control.workspaces.checks import check_create, check_patch
from stead.control.workspaces.loads import Loads
from stead.model.commands import CommandState
from stead.model.ids import Kind
from stead.model.lifecycle import Ask, Facts
from stead.model.placement import Candidate, Wish, choose
from stead.model.workspaces import CommandKind, Desired, Observed
from stead.protocol.errors import SteadError
from stead.protocol.messages import DriverFacts
from stead.protocol.messages import Facts as NodeFacts
from stead.protocol.methods import Right

MOST_CONSIDERED = 500
"""Nodes that are looked at to explain why none fits."""
MOST_COMPARED = 256
"""Nodes of which the best is taken, picked at random where there are more."""


NAME_CHARACTERS = 8
"""Of its id, for one without a name: a million of one owner rarely share a name."""


class WorkspaceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which workspaces to list; empty means any. `node` and `owner` are ids or names. Deleted ones only by state."""

    name: str = ""
    state: str = ""
    node: str = ""
    owner: str = ""
    labels: dict[str, str] = {}


class Workspaces:
    """The service."""

    def __init__(
        self, store: Store, registry: NodeRegistry, dispatcher: Dispatcher, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._registry = registry
        self._dispatcher = dispatcher
        self._clock = clock
        self._loads = Loads()

    async def create(self, caller: Caller, body: WorkspaceCreate, key: str = "") -> Workspace:
        """Starting goes on by itself. The same key and body again answer the same workspace."""
        caller.require(Right.WRITE)
        check_create(body)
        moved = await self._store.write(self._create, caller, body, key, self._clock())
        self._dispatcher.moved(moved)
        return self._view(moved.row)

    async def get(self, caller: Caller, ref: str) -> Workspace:
        caller.require(Right.READ)
        return self._view(await self._store.read(workspaces.resolve, caller, ref))

    async def list(self, caller: Caller, filters: WorkspaceFilter, limit: int, after: str) -> WorkspacePage:
        """Newest first."""
        caller.require(Right.READ)
        rows = await self._store.read(_page, caller, filters, limit, after)
        more = rows[limit - 1].id if len(rows) > limit else ""
        return WorkspacePage(items=[self._view(row) for row in rows[:limit]], next=more)

    async def patch(self, caller: Caller, ref: str, body: WorkspacePatch, if_version: int | None) -> Workspace:
        """ "precondition_failed" when the version is another one by now."""
        caller.require(Right.WRITE)
        check_patch(body)
        return self._view(await self._store.write(_patch, caller, ref, body, if_version, self._clock()))

    async def start(self, caller: Caller, ref: str) -> Workspace:
        return await self._ask(caller, ref, CommandKind.START)

    async def stop(self, caller: Caller, ref: str) -> Workspace:
        return await self._ask(caller, ref, CommandKind.STOP)

    async def restart(self, caller: Caller, ref: str) -> Workspace:
        return await self._ask(caller, ref, CommandKind.RESTART)

    async def delete(self, caller: Caller, ref: str) -> Workspace:
        """Answers the workspace as it is being deleted; once a node confirms, it is gone from lists."""
        return await self._ask(caller, ref, CommandKind.DELETE)

    async def history(self, caller: Caller, ref: str, after: str, limit: int) -> EventPage:
        """What happened to it, oldest first."""
        caller.require(Right.READ)
        return await self._store.read(_history, caller, ref, after, limit)

    async def _ask(self, caller: Caller, ref: str, what: CommandKind) -> Workspace:
        caller.require(Right.WRITE)
        moved = await self._store.write(_asked, caller, ref, what, self._clock(), self._registry.is_connected)
        self._dispatcher.moved(moved)
        return self._view(moved.row)

    def _view(self, row: Row[Any]) -> Workspace:
        return views.workspace(row, row.node_id is not None and self._registry.online(row.node_id))

    def _create(self, conn: Connection, caller: Caller, body: WorkspaceCreate, key: str, now: float) -> Moved:
        print_ = fingerprint(body)
        if key and (made := workspaces.by_key(conn, caller.user_id, key)):
            if made.request_print != print_:
                raise SteadError("key_reused", "this Idempotency-Key was used for another workspace")
            return Moved(row=made)
        node = self._place(conn, body)
        values = _new(caller, body, node, now) | {"request_key": key, "request_print": print_}
        return create(conn, values, node.name, now, sends=self._registry.is_connected(node.node_id))

    def _place(self, conn: Connection, body: WorkspaceCreate) -> Candidate:
        wish = Wish(
            driver=body.driver,
            labels=body.node_labels,
            isolation=body.isolation,
            cpus=body.cpus,
            memory_bytes=body.memory_bytes,
            named=bool(body.node),
        )
        node = self._choose(conn, wish, body.node)
        self._loads.placed(node.node_id)
        return node

    def _choose(self, conn: Connection, wish: Wish, named: str) -> Candidate:
        """The one that is named, or the best of some, of all, or the reasons why there is none."""
        if named:
            row = nodes.resolve(conn, named)
            return choose(wish, [self._candidate(row, {row.id: workspaces.count_on(conn, row.id)})])
        with contextlib.suppress(SteadError):
            return choose(wish, self._registry.candidates(self._loads.now(conn), MOST_COMPARED))
        counts = self._loads.anew(conn)
        with contextlib.suppress(SteadError):
            return choose(wish, self._registry.candidates(counts))
        return choose(wish, [self._candidate(row, counts) for row in nodes.every(conn, MOST_CONSIDERED)])

    def _candidate(self, row: Row[Any], counts: dict[str, int]) -> Candidate:
        facts = NodeFacts(hostname="", os="", arch="") if row.facts is None else msgspec.convert(row.facts, NodeFacts)
        return Candidate(
            node_id=row.id,
            name=row.name,
            approved=row.approved,
            online=self._registry.online(row.id),
            draining=row.draining,
            labels=row.said_labels | row.labels,
            drivers=msgspec.convert(row.drivers, list[DriverFacts]),
            max_workspaces=row.said_max if row.max_workspaces is None else row.max_workspaces,
            workspaces=counts.get(row.id, 0),
            cpus=facts.cpus,
            memory_bytes=facts.memory_bytes,
        )


def _new(caller: Caller, body: WorkspaceCreate, node: Candidate, now: float) -> dict[str, Any]:
    """The row of a new workspace."""
    workspace_id = fresh(Kind.WORKSPACE)
    driver = next(driver for driver in node.drivers if driver.name == body.driver)
    return {
        "id": workspace_id,
        "name": body.name or f"ws-{workspace_id[-NAME_CHARACTERS:]}",
        "owner": caller.user_id,
        "node_id": node.node_id,
        "driver": body.driver,
        "desired": Desired.RUNNING.value,
        "state": Observed.PENDING.value,
        "generation": 1,
        "reported": 0,
        "isolation": None,
        "isolation_wanted": None if body.isolation is None else body.isolation.value,
        "limits": [],
        "persistence": driver.persistence,
        "hibernate": driver.hibernate,
        "cpus": body.cpus,
        "memory_bytes": body.memory_bytes,
        "processes": body.processes,
        "labels": body.labels,
        "environment": body.environment,
        "setup": body.setup,
        "steps": [],
        "guest_restarts": 0,
        "guest_boot_id": "",
        "error": None,
        "attempts": 0,
        "retry_at": 0.0,
        "started": 0.0,
        "live": None,
        "sequence": 0,
        "settled": 0,
        "created": now,
        "updated": now,
        "version": 1,
    }


def _again(conn: Connection, workspace_id: str) -> Row[Any]:
    row = workspaces.by_id(conn, workspace_id)
    assert row is not None
    return row


def _page(conn: Connection, caller: Caller, filters: WorkspaceFilter, limit: int, after: str) -> list[Row[Any]]:
    w = workspaces.w
    where = [w.state == filters.state if filters.state else w.state != Observed.DELETED.value]
    if not caller.is_admin:
        where.append(w.owner == caller.user_id)
    if filters.name:
        where.append(w.name == filters.name)
    if filters.node:
        where.append(workspaces.on_node(filters.node))
    if filters.owner:
        where.append(workspaces.owned_by(filters.owner))
    return workspaces.page(conn, where, filters.labels, limit, after)


def _patch(
    conn: Connection, caller: Caller, ref: str, body: WorkspacePatch, if_version: int | None, now: float
) -> Row[Any]:
    row = workspaces.resolve(conn, caller, ref)
    if if_version is not None and if_version != row.version:
        raise SteadError("precondition_failed", f"the workspace has version {row.version} by now")
    if row.desired == Desired.DELETED.value:
        raise SteadError("conflict", "the workspace is being deleted")
    values = {name: value for name in ("name", "labels") if (value := getattr(body, name)) is not None}
    if values:
        workspaces.change(conn, row.id, values, now)
        events.append(conn, "workspace.changed", row.id, row.owner, values | {"version": row.version + 1})
    return _again(conn, row.id)


def _history(conn: Connection, caller: Caller, ref: str, after: str, limit: int) -> EventPage:
    return events.page(conn, caller, workspaces.resolve(conn, caller, ref).id, after, limit)


def _asked(
    conn: Connection, caller: Caller, ref: str, what: CommandKind, now: float, is_connected: Callable[[str], bool]
) -> Moved:
    row = workspaces.resolve(conn, caller, ref)
    if row.state == Observed.DELETED.value:
        raise SteadError("not_found", "the workspace is deleted")
    sends = row.node_id is not None and is_connected(row.node_id)
    return advance(conn, row, Ask(what), now, facts=_cleared(conn, row, what, now), sends=sends)


def _cleared(conn: Connection, row: Row[Any], what: CommandKind, now: float) -> Facts:
    """The facts with a waiting command out of the way that no node has seen and that another wish replaces."""
    facts = facts_of(row)
    if facts.live is not None and _replaces(what, facts.live):
        command = commands.of_workspace(conn, row.id, row.sequence)
        error = SteadError("cancelled", f"a {what.value} was asked before a node had it").fault()
        unsent = command is not None and command.state == CommandState.QUEUED.value
        if unsent and command is not None and commands.end(conn, command.id, CommandState.CANCELLED, error, now):
            facts = msgspec.structs.replace(facts, live=None)
    if facts.live is None and facts.state == Observed.PENDING:
        facts = msgspec.structs.replace(facts, touched=commands.ever_sent(conn, row.id))
    return facts


def _replaces(what: CommandKind, live: CommandKind) -> bool:
    running = (CommandKind.START, CommandKind.RESTART)
    return what != live and not (what in running and live in running)
