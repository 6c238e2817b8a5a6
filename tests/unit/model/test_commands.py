"""The states of a command."""

import itertools

from stead.model.commands import ENDED, LIVE, CommandState, before, may


def test_an_end_is_an_end() -> None:
    assert not any(may(end, state) for end in ENDED for state in CommandState)


def test_a_command_goes_only_forward() -> None:
    for first, second in itertools.product(LIVE, LIVE):
        assert may(first, second) == (LIVE.index(second) > LIVE.index(first))


def test_what_no_node_has_had_cannot_have_a_result() -> None:
    assert {state for state in ENDED if may(CommandState.QUEUED, state)} == {
        CommandState.EXPIRED,
        CommandState.CANCELLED,
    }


def test_before_is_the_same_table_read_backwards() -> None:
    for first, second in itertools.product(CommandState, CommandState):
        assert (first in before(second)) == may(first, second)
