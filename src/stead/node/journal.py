"""What the node must not forget: every command it took, how each ended, and the workspaces it has.

Contract: `take` before the acknowledgement; `finish` before the report, together with the workspace's new record;
`reported` after the control plane acknowledged the result: what a crash loses of that is only reported again. A known id is
never taken again: `take` answers what is known.
`prune` forgets commands that ended and were reported long ago.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

import msgspec

from stead.drivers.contract import Handle
from stead.node.ledger import Ledger
from stead.protocol.errors import Fault, SteadError
from stead.protocol.messages import Command, WorkspaceReport, WorkspaceSpec

SCHEMA = """
CREATE TABLE IF NOT EXISTS commands (
  id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, sequence INTEGER NOT NULL, phase TEXT NOT NULL, command BLOB NOT NULL,
  outcome BLOB, taken REAL NOT NULL, ended REAL
) STRICT;
CREATE INDEX IF NOT EXISTS commands_phase ON commands (phase);
CREATE INDEX IF NOT EXISTS commands_workspace ON commands (workspace_id, sequence);
CREATE TABLE IF NOT EXISTS cancelled (id TEXT PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS workspaces (
  id TEXT PRIMARY KEY, record BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS steps (
  workspace_id TEXT NOT NULL, number INTEGER NOT NULL, line TEXT NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (workspace_id, number)
) STRICT;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""

CLOCK_SECONDS = 60.0
"""How far the clocks of a node and its control plane may be apart."""

Phase = Literal["taken", "begun", "ended", "reported"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended."""

    outcome: Literal["completed", "failed", "unknown"]
    report: WorkspaceReport | None = None
    error: Fault | None = None


_CANCELLED = Outcome(outcome="failed", error=SteadError("cancelled", "cancelled before it had begun").fault())
_EXPIRED = Outcome(outcome="failed", error=SteadError("expired", "its deadline passed before it had begun").fault())
_OVERTAKEN = Outcome(
    outcome="failed", error=SteadError("conflict", "a later command of this workspace has begun already").fault()
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A command as the journal knows it."""

    command: Command
    phase: Phase
    outcome: Outcome | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace of this node. `wanted` is what the last command that ended well asked for."""

    workspace_id: str
    generation: int
    driver: str
    spec: WorkspaceSpec
    handle: Handle | None = None
    wanted: Literal["running", "stopped"] = "stopped"
    last_sequence: int = 0
    error: Fault | None = None


class Journal:
    """One file in the node's folder."""

    def __init__(self, path: Path) -> None:
        self._ledger = Ledger(path, SCHEMA)

    async def open(self) -> None:
        await self._ledger.open()

    async def close(self) -> None:
        await self._ledger.close()

    async def next_epoch(self) -> int:
        """Rises with every start of the node."""
        return await self._ledger.run(_next_epoch)

    async def take(self, command: Command, now: float, *, begins: bool = False) -> Entry:
        """The entry of this command: new with phase "taken" ("begun" where it begins at once), or what was known before."""
        return await self._ledger.run(lambda c: _take(c, command, now, begins=begins))

    async def begin(self, command: Command, now: float) -> Outcome | None:
        """From now on the command may have had an effect (None); or how it ended without, cancelled or overtaken."""
        return await self._ledger.run(lambda c: _begin(c, command, now))

    async def cancel(self, command_id: str, now: float) -> Entry | None:
        """Ends a command that has not begun, and one that has not come yet; others stay as they are."""
        return await self._ledger.run(lambda c: _cancel(c, command_id, now))

    async def finish(self, command: Command, outcome: Outcome, record: Record | None, now: float) -> None:
        """The end of a command and the workspace's record (None: there is no such workspace any more), at once."""
        await self._ledger.run(lambda c: _finish(c, command, outcome, record, now))

    def reported(self, command_id: str) -> None:
        self._ledger.later(lambda c: _reported(c, command_id))

    async def entry(self, command_id: str) -> Entry | None:
        return await self._ledger.run(lambda c: _entry(c, command_id))

    async def unfinished(self) -> list[Entry]:
        """Taken or begun, in the order they were taken."""
        return await self._ledger.run(lambda c: _entries(c, "phase IN ('taken', 'begun') ORDER BY taken, sequence"))

    async def unreported(self) -> list[Entry]:
        """Ended, but the control plane has not acknowledged it."""
        return await self._ledger.run(lambda c: _entries(c, "phase = 'ended' ORDER BY ended"))

    async def records(self) -> list[Record]:
        """All workspaces of this node."""
        return await self._ledger.run(_records)

    async def steps_done(self, workspace_id: str) -> dict[int, str]:
        """The setup lines that have run, by number."""
        return await self._ledger.run(lambda c: _steps(c, workspace_id))

    async def step_done(self, workspace_id: str, number: int, line: str, seconds: float) -> None:
        await self._ledger.run(lambda c: _add_step(c, workspace_id, number, line, seconds))

    async def prune(self, before: float) -> int:
        """Forgets reported commands that ended before this; answers how many."""
        return await self._ledger.run(lambda c: _prune(c, before))


def _next_epoch(connection: sqlite3.Connection) -> int:
    connection.execute(
        "INSERT INTO counters VALUES ('epoch', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
    )
    return int(connection.execute("SELECT value FROM counters WHERE name = 'epoch'").fetchone()[0])


def _entry(connection: sqlite3.Connection, command_id: str) -> Entry | None:
    found = _entries(connection, "id = ?", command_id)
    return found[0] if found else None


def _entries(connection: sqlite3.Connection, where: str, *values: object) -> list[Entry]:
    rows = connection.execute(f"SELECT command, phase, outcome FROM commands WHERE {where}", values)  # noqa: S608
    return [_decode(*row) for row in rows]


def _decode(command: bytes, phase: Phase, outcome: bytes | None) -> Entry:
    ended = None if outcome is None else msgspec.json.decode(outcome, type=Outcome)
    return Entry(command=msgspec.json.decode(command, type=Command), phase=phase, outcome=ended)


def _take(connection: sqlite3.Connection, command: Command, now: float, *, begins: bool) -> Entry:
    known = _entry(connection, command.command_id)
    if known is None:
        outcome = _obstacle(connection, command, now)
        live: Phase = "begun" if begins else "taken"
        phase: Phase = live if outcome is None else "ended"
        _insert(connection, command, phase, outcome, now)
        return Entry(command=command, phase=phase, outcome=outcome)
    if known.phase == "reported":
        _set_phase(connection, command.command_id, "ended")
    return known


def _obstacle(connection: sqlite3.Connection, command: Command, now: float) -> Outcome | None:
    """Why a command that has not begun must not: cancelled, too late, or a later one of its workspace has begun."""
    if connection.execute("SELECT 1 FROM cancelled WHERE id = ?", (command.command_id,)).fetchone():
        return _CANCELLED
    if now > command.deadline + CLOCK_SECONDS:
        return _EXPIRED
    later = connection.execute(
        "SELECT 1 FROM commands WHERE workspace_id = ? AND sequence > ? AND phase != 'taken' LIMIT 1",
        (command.workspace_id, command.sequence),
    )
    return _OVERTAKEN if later.fetchone() else None


def _insert(
    connection: sqlite3.Connection, command: Command, phase: Phase, outcome: Outcome | None, now: float
) -> None:
    values = (command.command_id, command.workspace_id, command.sequence, phase, msgspec.json.encode(command))
    ended = (None, now, None) if outcome is None else (msgspec.json.encode(outcome), now, now)
    connection.execute("INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values + ended)


def _begin(connection: sqlite3.Connection, command: Command, now: float) -> Outcome | None:
    known = _entry(connection, command.command_id)
    if known is None or known.outcome is not None:
        return _CANCELLED if known is None else known.outcome
    obstacle = None if known.phase == "begun" else _obstacle(connection, command, now)
    if obstacle is None:
        _set_phase(connection, command.command_id, "begun")
    else:
        _end(connection, command.command_id, obstacle, now)
    return obstacle


def _cancel(connection: sqlite3.Connection, command_id: str, now: float) -> Entry | None:
    known = _entry(connection, command_id)
    if known is None:
        connection.execute("INSERT OR IGNORE INTO cancelled VALUES (?, ?)", (command_id, now))
    elif known.phase == "taken":
        _end(connection, command_id, _CANCELLED, now)
    return _entry(connection, command_id)


def _reported(connection: sqlite3.Connection, command_id: str) -> None:
    connection.execute("UPDATE commands SET phase = 'reported' WHERE id = ? AND phase = 'ended'", (command_id,))


def _finish(
    connection: sqlite3.Connection, command: Command, outcome: Outcome, record: Record | None, now: float
) -> None:
    _end(connection, command.command_id, outcome, now)
    if record is None:
        connection.execute("DELETE FROM workspaces WHERE id = ?", (command.workspace_id,))
        connection.execute("DELETE FROM steps WHERE workspace_id = ?", (command.workspace_id,))
    else:
        connection.execute(
            "INSERT INTO workspaces VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            (record.workspace_id, msgspec.json.encode(record)),
        )


def _end(connection: sqlite3.Connection, command_id: str, outcome: Outcome, now: float) -> None:
    changed = connection.execute(
        "UPDATE commands SET phase = 'ended', outcome = ?, ended = ? WHERE id = ? AND phase IN ('taken', 'begun')",
        (msgspec.json.encode(outcome), now, command_id),
    )
    if changed.rowcount != 1:
        raise SteadError("conflict", f"command {command_id} has ended already")


def _set_phase(connection: sqlite3.Connection, command_id: str, phase: Phase) -> None:
    connection.execute("UPDATE commands SET phase = ? WHERE id = ?", (phase, command_id))


def _records(connection: sqlite3.Connection) -> list[Record]:
    rows = connection.execute("SELECT record FROM workspaces ORDER BY id")
    return [msgspec.json.decode(record, type=Record) for (record,) in rows]


def _steps(connection: sqlite3.Connection, workspace_id: str) -> dict[int, str]:
    rows = connection.execute("SELECT number, line FROM steps WHERE workspace_id = ?", (workspace_id,))
    return dict(rows.fetchall())


def _add_step(connection: sqlite3.Connection, workspace_id: str, number: int, line: str, seconds: float) -> None:
    connection.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?)", (workspace_id, number, line, seconds))


def _prune(connection: sqlite3.Connection, before: float) -> int:
    connection.execute("DELETE FROM cancelled WHERE at < ?", (before,))
    done = connection.execute("DELETE FROM commands WHERE phase = 'reported' AND ended < ?", (before,))
    return done.rowcount
