"""The life of a workspace: chosen stories, and a state machine that tries all of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stead.model.commands import CommandState
from stead.model.lifecycle import (
    MOST_ATTEMPTS,
    MOVES,
    STABLE_SECONDS,
    Ask,
    Decision,
    Ended,
    Event,
    Facts,
    Seen,
    Tick,
    decide,
    pause,
)
from stead.model.workspaces import CommandKind, Desired, Observed
from stead.protocol.errors import Fault, SteadError

NEW = Facts(desired=Desired.RUNNING, state=Observed.PENDING, touched=False)
RUNNING = Facts(desired=Desired.RUNNING, state=Observed.RUNNING, reported=1, started=100.0)
RETRY = Fault(code="driver_failed", message="no luck")
FINAL = Fault(code="refused", message="never")


def done(kind: CommandKind, generation: int = 1) -> Ended:
    return Ended(kind=kind, outcome=CommandState.COMPLETED, generation=generation)


def failed(kind: CommandKind, error: Fault) -> Ended:
    return Ended(kind=kind, outcome=CommandState.FAILED, error=error)


def test_a_new_workspace_is_started_and_runs() -> None:
    ordered = decide(NEW, Tick(reachable=True), 1.0)
    assert ordered.order == CommandKind.START
    assert ordered.facts.state == Observed.PENDING
    running = decide(ordered.facts, done(CommandKind.START), 2.0)
    assert running.order is None
    assert (running.facts.state, running.facts.reported, running.facts.live) == (Observed.RUNNING, 1, None)


def test_nothing_is_ordered_from_a_silent_node_but_a_person_may_ask() -> None:
    assert decide(NEW, Tick(reachable=False), 1.0).order is None
    assert decide(RUNNING, Ask(CommandKind.STOP), 1.0).order == CommandKind.STOP


def test_stop_asked_while_starting_follows_the_start() -> None:
    starting = decide(NEW, Tick(reachable=True), 1.0).facts
    asked = decide(starting, Ask(CommandKind.STOP), 2.0)
    assert asked.order is None
    assert decide(asked.facts, done(CommandKind.START), 3.0).order == CommandKind.STOP


def test_restart_is_a_new_generation() -> None:
    asked = decide(RUNNING, Ask(CommandKind.RESTART), 5.0)
    assert asked.order == CommandKind.RESTART
    assert asked.facts.generation == 2
    assert decide(asked.facts, done(CommandKind.RESTART, 2), 6.0).facts.reported == 2


def test_restart_asked_while_stopping_starts_after_it() -> None:
    stopping = decide(RUNNING, Ask(CommandKind.STOP), 5.0).facts
    asked = decide(stopping, Ask(CommandKind.RESTART), 6.0)
    assert asked.order is None
    assert decide(asked.facts, done(CommandKind.STOP), 7.0).order == CommandKind.START


def test_asking_for_what_is_changes_nothing() -> None:
    assert decide(RUNNING, Ask(CommandKind.START), 5.0) == Decision(RUNNING)


def test_what_no_node_has_heard_of_is_deleted_or_stopped_at_once() -> None:
    assert decide(NEW, Ask(CommandKind.DELETE), 1.0) == Decision(
        Facts(desired=Desired.DELETED, state=Observed.DELETED, touched=False)
    )
    assert decide(NEW, Ask(CommandKind.STOP), 1.0).facts.state == Observed.STOPPED


def test_what_is_being_deleted_cannot_be_asked_for_anything_else() -> None:
    deleting = decide(RUNNING, Ask(CommandKind.DELETE), 1.0)
    assert deleting.order == CommandKind.DELETE
    with pytest.raises(SteadError, match="being deleted"):
        decide(deleting.facts, Ask(CommandKind.START), 2.0)
    assert decide(deleting.facts, Ask(CommandKind.DELETE), 2.0) == Decision(deleting.facts)


def test_a_failed_start_is_tried_again_with_pauses_up_to_a_bound() -> None:
    facts, now = decide(NEW, Tick(reachable=True), 0.0).facts, 0.0
    for attempt in range(1, MOST_ATTEMPTS):
        after = decide(facts, failed(CommandKind.START, RETRY), now)
        assert after.order is None
        assert after.facts.state == Observed.STARTING
        assert after.facts.retry_at == now + pause(attempt)
        assert decide(after.facts, Tick(reachable=True), now + pause(attempt) / 2).order is None
        now = after.facts.retry_at
        again = decide(after.facts, Tick(reachable=True), now)
        assert again.order == CommandKind.START
        facts = again.facts
    end = decide(facts, failed(CommandKind.START, RETRY), now).facts
    assert (end.state, end.error) == (Observed.FAILED, RETRY)
    assert decide(end, Tick(reachable=True), now + 1e6).order is None
    assert decide(end, Ask(CommandKind.START), now).order == CommandKind.START


def test_an_error_that_cannot_help_fails_at_once() -> None:
    starting = decide(NEW, Tick(reachable=True), 0.0).facts
    assert decide(starting, failed(CommandKind.START, FINAL), 1.0).facts.state == Observed.FAILED


def test_a_failed_delete_is_tried_for_ever() -> None:
    facts, now = decide(RUNNING, Ask(CommandKind.DELETE), 0.0).facts, 0.0
    for _ in range(MOST_ATTEMPTS * 3):
        after = decide(facts, failed(CommandKind.DELETE, FINAL), now).facts
        assert after.state == Observed.STOPPING
        now = after.retry_at
        facts = decide(after, Tick(reachable=True), now).facts
        assert facts.live == CommandKind.DELETE


def test_a_workspace_that_vanished_is_started_again_at_once_and_not_for_ever() -> None:
    now = 100.0 + STABLE_SECONDS * 2
    seen = decide(RUNNING, Seen(sight="absent"), now)
    assert (seen.order, seen.facts.state, seen.facts.generation) == (CommandKind.START, Observed.STARTING, 1)
    facts = seen.facts
    for _ in range(MOST_ATTEMPTS + 1):
        facts = decide(facts, done(CommandKind.START), now).facts
        facts = decide(facts, Seen(sight="stopped"), now + 1).facts
        if facts.state == Observed.FAILED:
            return
        now = max(now + 1, facts.retry_at)
        facts = decide(facts, Tick(reachable=True), now).facts
    pytest.fail("it is started for ever")


def test_a_report_while_a_command_is_under_way_changes_nothing() -> None:
    stopping = decide(RUNNING, Ask(CommandKind.STOP), 1.0).facts
    assert decide(stopping, Seen(sight="running"), 2.0) == Decision(stopping)


def test_one_that_runs_and_does_not_answer_says_why_until_it_answers() -> None:
    silence = SteadError("workspace_unreachable", "left alone").fault()
    silent = decide(RUNNING, Seen(sight="running", generation=1, error=silence), 1.0)
    assert (silent.facts.state, silent.facts.error, silent.order) == (Observed.RUNNING, silence, None)
    assert decide(silent.facts, Seen(sight="running", generation=1), 2.0).facts.error is None


def test_what_runs_against_the_wish_is_stopped() -> None:
    stopped = Facts(desired=Desired.STOPPED, state=Observed.STOPPED)
    assert decide(stopped, Seen(sight="running", generation=1), 1.0).order == CommandKind.STOP


def test_an_expired_command_is_ordered_again_only_from_a_node_that_is_there() -> None:
    starting = decide(NEW, Tick(reachable=True), 0.0).facts
    expired = decide(starting, Ended(kind=CommandKind.START, outcome=CommandState.EXPIRED), 10.0)
    assert expired.order is None
    assert expired.facts.state == Observed.PENDING
    assert decide(expired.facts, Tick(reachable=True), expired.facts.retry_at).order == CommandKind.START


@pytest.mark.parametrize(
    "kind, desired, state",
    [
        (CommandKind.STOP, Desired.RUNNING, Observed.RUNNING),
        (CommandKind.DELETE, Desired.RUNNING, Observed.RUNNING),
        (CommandKind.RESTART, Desired.RUNNING, Observed.RUNNING),
    ],
)
def test_taking_an_order_back_restores_the_wish(kind: CommandKind, desired: Desired, state: Observed) -> None:
    asked = decide(RUNNING, Ask(kind), 1.0).facts
    back = decide(asked, Ended(kind=kind, outcome=CommandState.CANCELLED), 2.0)
    assert back.order is None
    assert (back.facts.desired, back.facts.state, back.facts.generation) == (desired, state, 1)


def test_taking_a_start_back_leaves_it_stopped() -> None:
    asked = decide(NEW, Tick(reachable=True), 1.0).facts
    back = decide(asked, Ended(kind=CommandKind.START, outcome=CommandState.CANCELLED), 2.0)
    assert (back.facts.desired, back.facts.state, back.order) == (Desired.STOPPED, Observed.STOPPED, None)


@given(st.integers(0, 10_000))
def test_pauses_grow_and_are_bounded(attempts: int) -> None:
    assert 1.0 <= pause(attempts) <= pause(attempts + 1) <= 300.0


class Life(RuleBasedStateMachine):
    """Anything may happen in any order; the rules hold all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.facts = NEW
        self.now = 0.0
        self.heard = False

    def happen(self, event: Event) -> Decision:
        before = self.facts
        decision = decide(before, event, self.now)
        self.facts = decision.facts
        assert self.facts.state == before.state or self.facts.state in MOVES[before.state] or self._two_steps(before)
        assert (decision.order is None) or (self.facts.live == decision.order)
        assert self.facts.generation >= 1
        return decision

    def _two_steps(self, before: Facts) -> bool:
        """One event may end one thing and begin the next."""
        return any(self.facts.state in MOVES[middle] for middle in MOVES[before.state])

    @rule(what=st.sampled_from(CommandKind))
    def ask(self, what: CommandKind) -> None:
        facts = self.facts
        if not self.heard and self.facts.live is None:
            self.facts = Facts(**{name: getattr(facts, name) for name in facts.__struct_fields__} | {"touched": False})
        else:
            self.facts = Facts(**{name: getattr(facts, name) for name in facts.__struct_fields__} | {"touched": True})
        try:
            self.happen(Ask(what))
        except SteadError as error:
            if error.code != "conflict" or self.facts.desired != Desired.DELETED:
                raise

    @rule(seconds=st.floats(0.1, 1000), reachable=st.booleans())
    def wait(self, seconds: float, reachable: bool) -> None:
        self.now += seconds
        self.happen(Tick(reachable))

    @precondition(lambda self: self.facts.live is not None)
    @rule(
        outcome=st.sampled_from(["completed", "failed", "unknown", "expired", "cancelled"]),
        error=st.sampled_from([RETRY, FINAL]),
        old=st.booleans(),
    )
    def end(self, outcome: str, error: Fault, old: bool) -> None:
        kind = self.facts.live
        assert kind is not None
        self.heard = self.heard or outcome not in ("expired", "cancelled")
        generation = max(1, self.facts.generation - 1) if old else self.facts.generation
        fault = None if outcome == "completed" else error
        self.happen(Ended(kind=kind, outcome=CommandState(outcome), generation=generation, error=fault))

    @rule(
        sight=st.sampled_from(["starting", "running", "stopped", "failed", "absent"]),
        error=st.sampled_from([RETRY, None]),
    )
    def see(self, sight: str, error: Fault | None) -> None:
        self.heard = True
        self.happen(Seen(sight=sight, generation=self.facts.generation, error=error))

    @invariant()
    def deleted_is_the_end(self) -> None:
        if self.facts.state == Observed.DELETED:
            assert self.facts.live is None
            assert self.facts.desired == Desired.DELETED
            assert decide(self.facts, Seen(sight="running", generation=1), self.now) == Decision(self.facts)

    @invariant()
    def nothing_is_stuck(self) -> None:
        """From anywhere, commands that succeed lead to what is asked."""
        facts, now = self.facts, self.now
        for _ in range(6):
            now = max(now, facts.retry_at)
            if facts.live is None:
                facts = decide(facts, Tick(reachable=True), now).facts
            if facts.live is None:
                break
            facts = decide(facts, done(facts.live, facts.generation), now).facts
        settled = facts.state.value == facts.desired.value
        assert settled or (facts.state == Observed.FAILED and facts.attempts and facts.desired != Desired.DELETED)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=25, deadline=None, derandomize=True)
