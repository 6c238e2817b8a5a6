"""The life of a workspace: what it becomes and what is ordered, given what is known and what happened. Pure.

Contract: `decide(facts, event, now) -> Decision`. Nothing else decides about a workspace. At most one command of a
workspace is live; when it has ended, the difference between what was asked and what is gives the next order. `MOVES` is
the table of states; `decide` raises "conflict" for what cannot be asked.
"""

from __future__ import annotations

import msgspec

from stead.model.commands import CommandState
from stead.model.workspaces import CommandKind, Desired, Observed
from stead.protocol.errors import TABLE, Fault, SteadError

MOST_ATTEMPTS = 5
"""Failed tries in a row before a workspace has failed."""

STABLE_SECONDS = 300.0
"""A workspace that ran this long starts again with a clean record."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0

MOVES: dict[Observed, frozenset[Observed]] = {
    Observed.PENDING: frozenset(Observed) - {Observed.PENDING},
    Observed.STARTING: frozenset({Observed.RUNNING, Observed.STOPPING, Observed.STOPPED, Observed.FAILED}),
    Observed.RUNNING: frozenset({Observed.STARTING, Observed.STOPPING, Observed.STOPPED, Observed.FAILED}),
    Observed.STOPPING: frozenset(Observed) - {Observed.PENDING, Observed.STOPPING},
    Observed.STOPPED: frozenset({Observed.STARTING, Observed.STOPPING, Observed.RUNNING, Observed.DELETED}),
    Observed.FAILED: frozenset({Observed.STARTING, Observed.STOPPING, Observed.STOPPED, Observed.RUNNING}),
    Observed.DELETED: frozenset(),
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that decisions rest on. `touched`: a node may have heard of it; `reported`: the generation that runs."""

    desired: Desired
    state: Observed
    generation: int = 1
    reported: int = 0
    live: CommandKind | None = None
    touched: bool = True
    attempts: int = 0
    retry_at: float = 0.0
    started: float = 0.0
    error: Fault | None = None


class Ask(msgspec.Struct, frozen=True):
    """A person asks."""

    what: CommandKind


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The live command has ended; `generation` is what the node reported."""

    kind: CommandKind
    outcome: CommandState
    generation: int = 0
    error: Fault | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The node reports by itself: starting, running, stopped, failed or absent."""

    sight: str
    generation: int = 0
    error: Fault | None = None


class Tick(msgspec.Struct, frozen=True):
    """Time has passed; nothing is ordered from a node that is not there."""

    reachable: bool


Event = Ask | Ended | Seen | Tick


class Decision(msgspec.Struct, frozen=True):
    """What it is now, and what to order."""

    facts: Facts
    order: CommandKind | None = None


def decide(facts: Facts, event: Event, now: float) -> Decision:
    """What becomes of a workspace."""
    match event:
        case Ask():
            return _ordered(_asked(facts, event.what), now)
        case Ended():
            after = _ended(_replace(facts, live=None), event, now)
            return Decision(after) if event.outcome == CommandState.EXPIRED else _ordered(after, now)
        case Seen():
            return Decision(facts) if facts.live else _ordered(_seen(facts, event, now), now)
        case Tick():
            return _ordered(facts, now) if event.reachable else Decision(facts)


def pause(attempts: int) -> float:
    """Seconds before the next try."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(max(attempts - 1, 0), 16))


def _ordered(facts: Facts, now: float) -> Decision:
    order = _order(facts, now)
    if order is None:
        return Decision(facts)
    return Decision(_replace(facts, live=order, state=_while(order, facts.state)), order)


def _while(order: CommandKind, state: Observed) -> Observed:
    """The state while a command is under way; a new workspace is pending until a node has taken it."""
    if order in (CommandKind.STOP, CommandKind.DELETE):
        return Observed.STOPPING
    return state if state == Observed.PENDING else Observed.STARTING


def _order(facts: Facts, now: float) -> CommandKind | None:
    if facts.live or facts.state == Observed.DELETED or now < facts.retry_at:
        return None
    if facts.desired == Desired.DELETED:
        return CommandKind.DELETE
    if facts.state == Observed.FAILED and facts.attempts:
        return None
    if facts.desired == Desired.STOPPED:
        return None if facts.state == Observed.STOPPED else CommandKind.STOP
    if facts.state != Observed.RUNNING:
        return CommandKind.START
    return CommandKind.RESTART if facts.reported < facts.generation else None


def _asked(facts: Facts, what: CommandKind) -> Facts:
    if facts.desired == Desired.DELETED:
        if what == CommandKind.DELETE:
            return facts
        raise SteadError("conflict", "the workspace is being deleted")
    fresh = _replace(facts, attempts=0, retry_at=0.0)
    if what == CommandKind.DELETE:
        return _untouched(_replace(fresh, desired=Desired.DELETED), Observed.DELETED)
    if what == CommandKind.STOP:
        return _untouched(_replace(fresh, desired=Desired.STOPPED), Observed.STOPPED)
    return _asked_to_run(fresh, restart=what == CommandKind.RESTART)


def _untouched(facts: Facts, goal: Observed) -> Facts:
    """What no node has heard of is stopped or deleted at once."""
    return facts if facts.touched or facts.live else _replace(facts, state=goal, error=None)


def _asked_to_run(facts: Facts, restart: bool) -> Facts:
    underway = facts.desired == Desired.RUNNING and facts.state in (Observed.PENDING, Observed.STARTING)
    same = underway or (facts.state == Observed.RUNNING and facts.desired == Desired.RUNNING and not restart)
    generation = facts.generation if same else facts.generation + 1
    return _replace(facts, desired=Desired.RUNNING, generation=generation)


def _ended(facts: Facts, event: Ended, now: float) -> Facts:
    match event.outcome:
        case CommandState.COMPLETED:
            return _completed(facts, event, now)
        case CommandState.EXPIRED:
            return _replace(facts, error=event.error, retry_at=now + pause(facts.attempts + 1))
        case CommandState.CANCELLED:
            return _taken_back(facts, event.kind)
        case _:
            return _not_done(facts, event, now)


def _completed(facts: Facts, event: Ended, now: float) -> Facts:
    done = _replace(facts, error=None, retry_at=0.0)
    if event.kind == CommandKind.DELETE:
        return _replace(done, state=Observed.DELETED, attempts=0)
    if event.kind == CommandKind.STOP:
        return _replace(done, state=Observed.STOPPED, attempts=0, reported=0)
    return _replace(done, state=Observed.RUNNING, reported=event.generation or facts.generation, started=now)


def _not_done(facts: Facts, event: Ended, now: float) -> Facts:
    if not _still_wanted(facts.desired, event.kind):
        return _replace(facts, error=event.error)
    again = event.outcome == CommandState.UNKNOWN or _retry(event.error)
    return _failed_once(facts, event.error, again or event.kind == CommandKind.DELETE, now)


def _failed_once(facts: Facts, error: Fault | None, again: bool, now: float) -> Facts:
    attempts = facts.attempts + 1
    bound = attempts >= MOST_ATTEMPTS and facts.desired != Desired.DELETED
    if not again or bound:
        return _replace(facts, state=Observed.FAILED, attempts=attempts, error=error or _GONE)
    waiting = Observed.STARTING if facts.desired == Desired.RUNNING else Observed.STOPPING
    return _replace(facts, state=waiting, attempts=attempts, error=error, retry_at=now + pause(attempts))


def _taken_back(facts: Facts, kind: CommandKind) -> Facts:
    """A person took the order back: what is asked becomes what was before it."""
    if not _still_wanted(facts.desired, kind):
        return facts
    ran = facts.reported > 0 and kind != CommandKind.START
    if ran:
        kept = _replace(facts, state=Observed.RUNNING, desired=Desired.RUNNING, generation=facts.reported)
        return _replace(kept, attempts=0, retry_at=0.0)
    return _replace(facts, state=Observed.STOPPED, desired=Desired.STOPPED, attempts=0, retry_at=0.0, error=None)


def _seen(facts: Facts, event: Seen, now: float) -> Facts:
    match event.sight:
        case "running":
            return _seen_running(facts, event, now)
        case "stopped" | "absent":
            return _seen_gone(facts, event, now)
        case "failed" if facts.desired == Desired.RUNNING and facts.state == Observed.RUNNING:
            return _failed_once(_aged(facts, now), event.error, _retry(event.error), now)
        case _:
            return facts


def _seen_running(facts: Facts, event: Seen, now: float) -> Facts:
    if facts.state == Observed.RUNNING:
        return _answers(facts, event.error)
    if facts.state == Observed.DELETED:
        return facts
    if facts.desired == Desired.RUNNING:
        reported = event.generation or facts.generation
        running = _replace(facts, state=Observed.RUNNING, reported=reported, started=now)
        return _replace(running, error=None, retry_at=0.0)
    return _replace(facts, state=Observed.RUNNING) if facts.state == Observed.STOPPED else facts


def _answers(facts: Facts, error: Fault | None) -> Facts:
    """One that runs and whose guest does not answer says why, until it answers."""
    told = facts.error is not None and facts.error.code == "workspace_unreachable"
    return _replace(facts, error=error) if error is not None or told else facts


def _seen_gone(facts: Facts, event: Seen, now: float) -> Facts:
    if facts.desired == Desired.DELETED:
        absent = event.sight == "absent" and facts.state != Observed.DELETED
        return _replace(facts, state=Observed.DELETED, error=None) if absent and _passes(facts.state) else facts
    if facts.desired == Desired.STOPPED:
        return _replace(facts, state=Observed.STOPPED, reported=0) if facts.state != Observed.STOPPED else facts
    if facts.state != Observed.RUNNING:
        return facts
    aged = _replace(_aged(facts, now), reported=0)
    after = _failed_once(aged, event.error or _GONE, again=True, now=now)
    return _replace(after, retry_at=0.0) if aged.attempts == 0 else after


def _passes(state: Observed) -> bool:
    return Observed.DELETED in MOVES[state]


def _aged(facts: Facts, now: float) -> Facts:
    return _replace(facts, attempts=0) if now - facts.started > STABLE_SECONDS else facts


def _still_wanted(desired: Desired, kind: CommandKind) -> bool:
    match desired:
        case Desired.RUNNING:
            return kind in (CommandKind.START, CommandKind.RESTART)
        case Desired.STOPPED:
            return kind == CommandKind.STOP
        case Desired.DELETED:
            return kind == CommandKind.DELETE


def _retry(error: Fault | None) -> bool:
    return error is not None and error.code in TABLE and TABLE[error.code].retry


def _replace(facts: Facts, **changes: object) -> Facts:
    return msgspec.structs.replace(facts, **changes)


_GONE = Fault(
    code="driver_failed", message="the workspace ended by itself", hint="It is started again; `stead logs` may say why."
)
