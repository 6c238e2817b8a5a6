"""What nodes say about commands, as units of the store.

Contract: `finish` ends a command and moves its workspace in the same unit; a result that comes again changes nothing.
`expire`, `refuse` and `cancel` end commands that have no result. A node that speaks for a command or workspace of
another is "forbidden".
"""

from __future__ import annotations

from typing import Any

import msgspec

from stead.control.store import commands, events, workspaces
from stead.control.store.rows import Connection, Row, changed
from stead.control.store.units import long
from stead.control.workspaces.advance import Moved, advance, describe
from stead.model.commands import CommandState
from stead.model.lifecycle import Ended, Seen
from stead.model.workspaces import CommandKind, Observed
from stead.protocol.errors import Fault, SteadError
from stead.protocol.messages import CommandProgress, CommandResult, WorkspaceReport


class Taken(msgspec.Struct, frozen=True):
    """A command that a node has acknowledged."""

    command_id: str
    workspace_id: str
    kind: str


MOST_STEPS = 100
STEP_CHARACTERS = 200
DETAIL_CHARACTERS = 1000
FAULT_CHARACTERS = 4000


def finish(
    conn: Connection, node_id: str, result: CommandResult, said: list[tuple[str, CommandProgress]], now: float
) -> Moved | None:
    """The command's end; None when it ended before or is not known any more. Without a step of the workspace there may
    be more in its queue."""
    if said:
        progress(conn, said, now)
    taken_back = result.error is not None and result.error.code == "cancelled"
    outcome = CommandState.CANCELLED if taken_back else CommandState(result.outcome)
    error = clipped(result.error)
    command = commands.end_of(conn, result.command_id, node_id, outcome, error, now)
    if command is None:
        return _late(conn, node_id, result, now)
    _check_report(command, result.report)
    return _move(conn, command, outcome, error, result.report, now) or Moved(ordered=node_id)


@long
def expire(conn: Connection, now: float, limit: int) -> int:
    """Ends what is past its deadline; answers how many."""
    overdue = commands.overdue(conn, now, limit)
    for command in overdue:
        error = SteadError("expired", f"the node did not {command.kind} it before the deadline").fault()
        if commands.end(conn, command.id, CommandState.EXPIRED, error, now):
            _move(conn, command, CommandState.EXPIRED, error, None, now)
    return len(overdue)


def refuse(conn: Connection, command_id: str, error: Fault, now: float) -> Moved | None:
    """The node would not take it."""
    command = commands.by_id(conn, command_id)
    if command is None or not commands.end(conn, command_id, CommandState.FAILED, error, now):
        return None
    return _move(conn, command, CommandState.FAILED, error, None, now)


def cancel(conn: Connection, command_id: str, waiting_only: bool, now: float) -> Moved | None:
    """A person takes it back; None when it has ended, or a node has it and `waiting_only` is asked."""
    command = commands.by_id(conn, command_id)
    if command is None or (waiting_only and command.state != CommandState.QUEUED.value):
        return None
    error = SteadError("cancelled", "it was cancelled").fault()
    if not commands.end(conn, command_id, CommandState.CANCELLED, error, now):
        return None
    return _move(conn, command, CommandState.CANCELLED, error, None, now) or Moved()


def accept(conn: Connection, taken: list[Taken], now: float) -> None:
    """Nodes have these in their journals."""
    commands.acknowledge(conn, [command.command_id for command in taken], now)
    started = [command.workspace_id for command in taken if command.kind == CommandKind.START.value]
    if started:
        begun = [
            changed(row, {"state": Observed.STARTING.value, "version": row.version + 1})
            for row in workspaces.begun(conn, started, now)
        ]
        events.append_all(conn, [("workspace.changed", row.id, row.owner, describe(row)) for row in begun])


def progress(conn: Connection, said: list[tuple[str, CommandProgress]], now: float) -> list[str]:
    """Steps of running commands, in order; answers the ids of commands that the speaker does not own."""
    found = commands.by_ids(conn, list({message.command_id for _, message in said}))
    mine = [(found.get(m.command_id), node, m) for node, m in said]
    foreign = [m.command_id for command, node, m in mine if command is not None and command.node_id != node]
    live = [(c, m) for c, node, m in mine if c is not None and c.ended is None and c.node_id == node]
    if live:
        commands.run(conn, list({command.id for command, _ in live}), now)
        _keep_steps(conn, live, now)
    return foreign


def clipped(error: Fault | None) -> Fault | None:
    """A node's error, bounded: what it wrote is kept and shown."""
    if error is None:
        return None
    return Fault(
        code=error.code[:STEP_CHARACTERS],
        message=error.message[:FAULT_CHARACTERS],
        hint=error.hint[:DETAIL_CHARACTERS],
        details=error.details if len(str(error.details)) <= FAULT_CHARACTERS else {},
    )


def check_node(owner: str | None, speaker: str, what: str) -> None:
    """A node speaks only for its own."""
    if owner != speaker:
        raise SteadError("forbidden", f"the {what} is not of this node")


def _check_report(command: Row[Any], report: WorkspaceReport | None) -> None:
    if report is not None and report.workspace_id != command.workspace_id:
        raise SteadError("forbidden", "the report is of another workspace than the command")


def _late(conn: Connection, node_id: str, result: CommandResult, now: float) -> Moved | None:
    """A result after the end (expired, cancelled): what the node sees still counts."""
    command, report = commands.by_id(conn, result.command_id), result.report
    if command is None:
        return None
    check_node(command.node_id, node_id, "command")
    _check_report(command, report)
    if report is None or command.state not in (CommandState.EXPIRED.value, CommandState.CANCELLED.value):
        return None
    row = workspaces.by_id(conn, command.workspace_id)
    if row is None or row.sequence != command.sequence:
        return None
    seen = Seen(sight=report.state, generation=report.generation, error=clipped(report.error))
    return advance(conn, row, seen, now, report=report)


def _move(
    conn: Connection,
    command: Row[Any],
    outcome: CommandState,
    error: Fault | None,
    report: WorkspaceReport | None,
    now: float,
) -> Moved | None:
    row = workspaces.by_id(conn, command.workspace_id)
    if row is None or row.sequence != command.sequence or row.live is None:
        return None
    generation = report.generation if report is not None else 0
    event = Ended(kind=CommandKind(command.kind), outcome=outcome, generation=generation, error=error)
    by_node = outcome in (CommandState.COMPLETED, CommandState.FAILED, CommandState.UNKNOWN)
    return advance(conn, row, event, now, report=report, settled=command.sequence if by_node else None)


def _keep_steps(conn: Connection, live: list[tuple[Row[Any], CommandProgress]], now: float) -> None:
    rows = workspaces.by_ids(conn, list({command.workspace_id for command, _ in live}))
    for workspace_id, row in rows.items():
        mine = [(c, m) for c, m in live if c.workspace_id == workspace_id and c.sequence == row.sequence]
        steps = row.steps
        for _, message in mine:
            steps = with_step(steps, message, now)
            events.append(conn, "workspace.progress", row.id, row.owner, _told(message))
        if mine:
            workspaces.put_steps(conn, workspace_id, steps, now)


def with_step(steps: list[dict[str, Any]], message: CommandProgress, now: float) -> list[dict[str, Any]]:
    """The steps with this one begun, or ended."""
    seconds = message.seconds if message.done else None
    name, detail = message.step[:STEP_CHARACTERS], message.detail[:DETAIL_CHARACTERS]
    step = {"name": name, "detail": detail, "started": now - message.seconds, "seconds": seconds}
    for index, known in enumerate(steps):
        if known["name"] == name:
            return [*steps[:index], step | {"started": known["started"]}, *steps[index + 1 :]]
    return [*steps, step] if len(steps) < MOST_STEPS else steps


def _told(message: CommandProgress) -> dict[str, Any]:
    return {
        "step": message.step[:STEP_CHARACTERS],
        "detail": message.detail[:DETAIL_CHARACTERS],
        "seconds": message.seconds,
        "done": message.done,
    }
