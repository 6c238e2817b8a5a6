"""Repairs what differs from what was asked: from what nodes report, and from the table at an interval.

Contract: `inventory(node_id, reports)` when a whole inventory has come; `changed(node_id, report)` for one workspace;
`pass_once()` looks through everything unsettled; `run()` does so every `PASS_SECONDS`, and when a put-off try is due.
Only workspaces that a node reports (they carry our label) and that are deleted or unknown here are removed, at most
`REAPED_AT_ONCE` a pass; unknown ones only while they are the smaller half of what the node has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import anyio

from stead.control.commands.dispatcher import Dispatcher
from stead.control.commands.results import check_node, clipped
from stead.control.nodes.registry import NodeRegistry
from stead.control.store import commands, events, workspaces
from stead.control.store.rows import Connection, Row
from stead.control.store.store import Store
from stead.control.store.units import long
from stead.control.workspaces.advance import Moved, advance, command_values
from stead.model.lifecycle import Seen, Tick
from stead.model.workspaces import CommandKind, Observed
from stead.protocol.errors import SteadError
from stead.protocol.messages import WorkspaceReport, WorkspaceSpec

log = logging.getLogger(__name__)

PASS_SECONDS = 15.0
AT_ONCE = 200
REAPED_AT_ONCE = 50


class Reconciler:
    """Compares and repairs."""

    def __init__(
        self, store: Store, registry: NodeRegistry, dispatcher: Dispatcher, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._registry = registry
        self._dispatcher = dispatcher
        self._clock = clock
        self._next = 0.0
        self._sooner = anyio.Event()
        dispatcher.retry = self.look_at

    def look_at(self, when: float) -> None:
        """A put-off try is due then."""
        if not self._next or when < self._next:
            self._next = when
            self._sooner.set()

    async def changed(self, node_id: str, report: WorkspaceReport) -> None:
        """A workspace changed by itself. One that ended while an order is under way is "in_progress": nothing is decided then,
        so it is to be told again."""
        self._dispatcher.moved(await self._store.write(_changed, node_id, report, self._clock()))

    async def inventory(self, node_id: str, reports: list[WorkspaceReport]) -> None:
        """All that a node has; what it does not name is absent."""
        known = await self._store.read(_of_node, node_id)
        absent = [
            WorkspaceReport(workspace_id=name, generation=0, state="absent")
            for name in known - {report.workspace_id for report in reports}
        ]
        everything = [*reports, *absent]
        for start in range(0, len(everything), AT_ONCE):
            part = everything[start : start + AT_ONCE]
            for moved in await self._store.write(_compare, node_id, part, self._clock()):
                self._dispatcher.moved(moved)
        reaped = await self._store.write(_reap, node_id, reports, self._clock()) if reports else 0
        if reaped:
            self._dispatcher.poke(node_id)

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            try:
                await self.pass_once()
            except SteadError as error:
                log.warning("workspaces could not be compared: %s", error.message)
                self._next = 0.0
            pause = self._next - self._clock() if self._next else PASS_SECONDS
            self._sooner = anyio.Event()
            with anyio.move_on_after(min(PASS_SECONDS, max(0.05, pause))):
                await self._sooner.wait()

    async def pass_once(self) -> None:
        """Orders what is due on the nodes that are there."""
        self._next = 0.0
        nodes = sorted(self._registry.connected())
        for start in range(0, len(nodes), AT_ONCE):
            await self._pass(nodes[start : start + AT_ONCE])

    async def _pass(self, nodes: list[str]) -> None:
        while True:
            if not (rows := await self._store.read(workspaces.unsettled, nodes, AT_ONCE)):
                return
            now = self._clock()
            if later := [row.retry_at for row in rows if row.retry_at > now]:
                self.look_at(min(later))
            due = [row.id for row in rows if row.retry_at <= now]
            if not due:
                return
            for moved in await self._store.write(_tick, due, now):
                self._dispatcher.moved(moved)
            if len(rows) < AT_ONCE:
                return


def _changed(conn: Connection, node_id: str, report: WorkspaceReport, now: float) -> Moved | None:
    row = workspaces.by_id(conn, report.workspace_id)
    if row is None:
        raise SteadError("not_found", "no such workspace")
    check_node(row.node_id, node_id, "workspace")
    if row.live and report.state not in {"starting", "running"}:
        raise SteadError("in_progress", "an order of this workspace is under way")
    return _saw(conn, row, report, now)


def _saw(conn: Connection, row: Row[Any], report: WorkspaceReport, now: float) -> Moved | None:
    """A report from before the result that the node gave last says nothing."""
    stale = report.state != "absent" and 0 < report.last_sequence < row.settled
    if stale or row.state == Observed.DELETED.value:
        return None
    seen = Seen(sight=report.state, generation=report.generation, error=clipped(report.error))
    return advance(conn, row, seen, now, report=report)


def _of_node(conn: Connection, node_id: str) -> set[str]:
    return {row.id for row in workspaces.of_node(conn, node_id)}


@long
def _compare(conn: Connection, node_id: str, reports: list[WorkspaceReport], now: float) -> list[Moved]:
    rows = workspaces.by_ids(conn, [report.workspace_id for report in reports])
    moves: list[Moved] = []
    for report in reports:
        row = rows.get(report.workspace_id)
        if row is not None and row.node_id == node_id and (moved := _saw(conn, row, report, now)):
            moves.append(moved)
    return moves


@long
def _tick(conn: Connection, ids: list[str], now: float) -> list[Moved]:
    rows = workspaces.by_ids(conn, ids)
    return [advance(conn, row, Tick(reachable=True), now) for row in rows.values()]


@long
def _reap(conn: Connection, node_id: str, reports: list[WorkspaceReport], now: float) -> int:
    """Orders the removal of what must not be there; answers how many orders."""
    present = [report for report in reports if report.state != "absent"]
    rows: dict[str, Row[Any]] = {}
    for start in range(0, len(present), AT_ONCE):
        rows |= workspaces.by_ids(conn, [report.workspace_id for report in present[start : start + AT_ONCE]])
    deleted = [r for r in present if r.workspace_id in rows and _is_leftover(rows[r.workspace_id], node_id)]
    unknown = [r for r in present if r.workspace_id not in rows]
    if len(unknown) * 2 > len(present):
        _pause(conn, node_id, len(unknown), len(present))
        unknown = []
    live = commands.live_workspaces(conn, node_id)
    doomed = [report for report in [*deleted, *unknown] if report.workspace_id not in live][:REAPED_AT_ONCE]
    for report in doomed:
        commands.insert(conn, _removal(conn, node_id, report, now))
        events.append(conn, "node.reaped", node_id, "", {"workspace_id": report.workspace_id})
    return len(doomed)


def _is_leftover(row: Row[Any], node_id: str) -> bool:
    return bool(row.node_id == node_id and row.state == Observed.DELETED.value)


def _pause(conn: Connection, node_id: str, unknown: int, present: int) -> None:
    log.warning("node %s: %s of %s workspaces are unknown here; none is removed", node_id, unknown, present)
    events.append(conn, "node.reaping_paused", node_id, "", {"unknown": unknown, "present": present})


def _removal(conn: Connection, node_id: str, report: WorkspaceReport, now: float) -> dict[str, Any]:
    spec = WorkspaceSpec(
        workspace_id=report.workspace_id, name="", generation=report.generation, driver=report.driver or "process"
    )
    sequence = 1 + max(report.last_sequence, commands.newest_sequence(conn, report.workspace_id))
    return command_values(spec, node_id, "", CommandKind.DELETE, sequence, now)
