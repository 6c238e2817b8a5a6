"""The life of a command: its states, which may follow which, and how long each part of it may take. Pure.

Contract: `may(before, after)`; `LIVE` and `ENDED` part the states. A command's end never changes again.
"""

from __future__ import annotations

from enum import StrEnum

from stead.model.workspaces import CommandKind


class CommandState(StrEnum):
    """Where a command is."""

    QUEUED = "queued"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


LIVE = (CommandState.QUEUED, CommandState.SENT, CommandState.ACKNOWLEDGED, CommandState.RUNNING)
"""In order: a command only goes forward."""

ENDED = tuple(state for state in CommandState if state not in LIVE)

SENT_LEASE = 15.0
"""Seconds within which a node acknowledges; then the same command is delivered again."""

RUN_LEASE = 60.0
"""Seconds without progress after which the same command is delivered again."""

DEADLINES: dict[CommandKind, float] = {
    CommandKind.START: 900.0,
    CommandKind.STOP: 900.0,
    CommandKind.RESTART: 900.0,
    CommandKind.DELETE: 3600.0,
}
"""Seconds after which a command is given up."""


def may(before: CommandState, after: CommandState) -> bool:
    """Whether a command may go from one state to the other."""
    if before in ENDED or before == after:
        return False
    if after in ENDED:
        return before != CommandState.QUEUED or after in (CommandState.EXPIRED, CommandState.CANCELLED)
    return LIVE.index(after) > LIVE.index(before)


def before(after: CommandState) -> tuple[CommandState, ...]:
    """The states from which this one may follow, for a compare-and-set."""
    return tuple(state for state in CommandState if may(state, after))
