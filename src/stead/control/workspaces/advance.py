"""One step of a workspace's life inside one unit: the decision, the row, the next command and the event together.

Contract: `advance(conn, row, event, now) -> Moved`; `row` is of `store.workspaces`, `Moved.row` is what it is after.
`create(conn, values, node_name, now)` is the first step of a new one. Nothing else writes the columns of the lifecycle.
After the commit the dispatcher is told of the `Moved`, and the reconciler of its `retry_at`. With `sends` the command is
written down as sent, since whoever asks sends it as soon as it is durable; if they die before, its lease ends.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stead.control.store import commands, events, workspaces
from stead.control.store.fresh import fresh
from stead.control.store.rows import Connection, Row, changed
from stead.model.commands import DEADLINES, CommandState
from stead.model.ids import Kind
from stead.model.lifecycle import Event, Facts, Tick, decide
from stead.model.workspaces import CommandKind, Desired, Observed
from stead.protocol.errors import Fault
from stead.protocol.messages import WorkspaceReport, WorkspaceSpec


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a step: `ordered` is the node that has a new command, `command` the command where it is to be sent at
    once, `retry_at` when to look again."""

    ordered: str | None = None
    command: Any = None
    retry_at: float = 0.0
    row: Any = None


def facts_of(row: Row[Any]) -> Facts:
    """What the lifecycle needs to know of a row."""
    return Facts(
        desired=Desired(row.desired),
        state=Observed(row.state),
        generation=row.generation,
        reported=row.reported,
        live=None if row.live is None else CommandKind(row.live),
        attempts=row.attempts,
        retry_at=row.retry_at,
        started=row.started,
        error=None if row.error is None else msgspec.convert(row.error, Fault),
    )


def advance(
    conn: Connection,
    row: Row[Any],
    event: Event,
    now: float,
    facts: Facts | None = None,
    report: WorkspaceReport | None = None,
    settled: int | None = None,
    sends: bool = False,
) -> Moved:
    """Decides and writes. `facts` overrides the row where the unit has changed it already; `settled` is the number of
    the command whose result this is."""
    before = facts_of(row)
    decision = decide(facts or before, event, now)
    after, order = decision.facts, decision.order
    seen = _seen(row, report)
    if after == before and order is None and settled is None and seen == _seen(row, None):
        return Moved(retry_at=after.retry_at, row=row)
    sequence = row.sequence if order is None else row.sequence + 1
    command = None
    if order is not None:
        command = _insert(conn, _command(row, order, after.generation, sequence, now), now, sends=sends)
    begins = order in (CommandKind.START, CommandKind.RESTART)
    values = (
        _columns(after)
        | seen
        | {
            "sequence": sequence,
            "settled": row.settled if settled is None else settled,
            "steps": [] if begins else row.steps,
        }
    )
    workspaces.save(conn, row.id, values, now)
    row = changed(row, values | {"updated": now, "version": row.version + 1})
    if after != before or order is not None:
        events.append(conn, _kind(after), row.id, row.owner, describe(row, order))
    ordered = row.node_id if order is not None else None
    return Moved(ordered=ordered, command=command, retry_at=after.retry_at, row=row)


def create(conn: Connection, values: dict[str, Any], node_name: str, now: float, *, sends: bool = False) -> Moved:
    """A new workspace and the order to start it; "already_exists" when the owner has one of this name."""
    row = changed(None, values | {"node_name": node_name})
    decision = decide(facts_of(row), Tick(reachable=True), now)
    row = changed(row, _columns(decision.facts) | {"sequence": 0 if decision.order is None else 1})
    workspaces.insert(conn, {name: value for name, value in vars(row).items() if name != "node_name"})
    command = None
    if decision.order is not None:
        values = _command(row, decision.order, row.generation, row.sequence, now)
        command = _insert(conn, values, now, sends=sends)
    told = describe(row, decision.order) | {"driver": row.driver}
    events.append(conn, "workspace.created", row.id, row.owner, told)
    return Moved(ordered=row.node_id, command=command, row=row)


def describe(row: Any, order: CommandKind | None = None) -> dict[str, Any]:
    """What watchers are told of a row as it is now."""
    told: dict[str, Any] = {
        "name": row.name,
        "state": row.state,
        "desired": row.desired,
        "node_id": row.node_id,
        "version": row.version,
    }
    if order is not None:
        told["command"] = order.value
    if row.error is not None:
        error = msgspec.convert(row.error, Fault)
        told["error"] = {"code": error.code, "message": error.message}
    return told


def spec_of(row: Row[Any], generation: int) -> WorkspaceSpec:
    """All a driver needs."""
    return WorkspaceSpec(
        workspace_id=row.id,
        name=row.name,
        generation=generation,
        driver=row.driver,
        isolation=row.isolation_wanted or "",
        cpus=row.cpus,
        memory_bytes=row.memory_bytes,
        processes=row.processes,
        environment=row.environment,
        setup=row.setup,
    )


def _kind(facts: Facts) -> str:
    return "workspace.deleted" if facts.state == Observed.DELETED else "workspace.changed"


def _columns(facts: Facts) -> dict[str, Any]:
    return {
        "desired": facts.desired.value,
        "state": facts.state.value,
        "generation": facts.generation,
        "reported": facts.reported,
        "live": facts.live.value if facts.live else None,
        "attempts": facts.attempts,
        "retry_at": facts.retry_at,
        "started": facts.started,
        "error": facts.error,
    }


def _seen(row: Row[Any], report: WorkspaceReport | None) -> dict[str, Any]:
    """What a node says that a workspace honestly has; a report without it leaves what was known."""
    if report is None or report.state == "absent":
        return {name: getattr(row, name) for name in _REPORTED}
    return {
        "isolation": report.isolation or row.isolation,
        "limits": report.limits if report.isolation else row.limits,
        "persistence": report.persistence or row.persistence,
        "guest_restarts": report.guest_restarts,
        "guest_boot_id": report.guest_boot_id or row.guest_boot_id,
    }


_REPORTED = ("isolation", "limits", "persistence", "guest_restarts", "guest_boot_id")


def _insert(conn: Connection, values: dict[str, Any], now: float, *, sends: bool) -> Any:
    """Writes the new command down; answers it as it was before it was sent, where it is to be sent at once."""
    if not sends:
        commands.insert(conn, values)
        return None
    commands.insert(conn, values | commands.as_sent(now))
    return changed(None, values)


def _command(row: Row[Any], kind: CommandKind, generation: int, sequence: int, now: float) -> dict[str, Any]:
    return command_values(spec_of(row, generation), row.node_id, row.owner, kind, sequence, now)


def command_values(
    spec: WorkspaceSpec, node_id: str, owner: str, kind: CommandKind, sequence: int, now: float
) -> dict[str, Any]:
    """The row of a new command."""
    return {
        "id": fresh(Kind.COMMAND),
        "workspace_id": spec.workspace_id,
        "node_id": node_id,
        "owner": owner,
        "sequence": sequence,
        "kind": kind.value,
        "state": CommandState.QUEUED.value,
        "attempts": 0,
        "deadline": now + DEADLINES[kind],
        "lease": 0.0,
        "spec": msgspec.json.encode(spec).decode(),
        "created": now,
        "sent": None,
        "acknowledged": None,
        "ended": None,
        "error": None,
    }
