"""Waits between connections."""

import pytest

from stead.protocol.errors import SteadError
from stead.transport.backoff import Absence, Backoff


def test_the_ceiling_doubles_up_to_the_limit() -> None:
    backoff = Backoff(draw=lambda: 1.0)
    assert [backoff.delay() for _ in range(9)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_wait_is_drawn_from_zero_to_the_ceiling() -> None:
    draws = iter([0.0, 0.5])
    backoff = Backoff(draw=lambda: next(draws))
    assert [backoff.delay(), backoff.delay()] == [0.0, 0.25]


def test_only_a_useful_connection_starts_afresh() -> None:
    backoff = Backoff(draw=lambda: 1.0)
    backoff.delay()
    assert backoff.delay(lived=4.9) == 0.5
    assert backoff.delay(lived=5.0) == 0.25


def test_what_the_other_side_asked_for_is_waited() -> None:
    assert Backoff(draw=lambda: 0.0).delay(at_least=3.0) == 3.0


def test_many_failures_do_not_overflow() -> None:
    backoff = Backoff(draw=lambda: 1.0)
    assert max(backoff.delay() for _ in range(5000)) == 30.0


@pytest.mark.anyio
async def test_a_part_that_is_away_for_a_moment_is_waited_for() -> None:
    absence = Absence(30.0)
    await absence.pause(SteadError("node_unreachable", "the node starts again"))
    await absence.pause(SteadError("unavailable", "its link was lost"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "repeat", "seconds"), [("not_found", True, 30.0), ("unavailable", False, 30.0), ("unavailable", True, 0.0)]
)
async def test_other_faults_unsafe_repetitions_and_long_absences_are_errors(
    code: str, repeat: bool, seconds: float
) -> None:
    with pytest.raises(SteadError) as caught:
        await Absence(seconds).pause(SteadError(code, "no"), repeat=repeat)
    assert caught.value.code == code


@pytest.mark.anyio
async def test_who_asks_for_a_longer_pause_than_there_is_patience_is_not_asked_again() -> None:
    patient = Absence(30.0)
    await patient.pause(SteadError("workspace_unreachable", "soon", retry_after=0.01))
    with pytest.raises(SteadError):
        await patient.pause(SteadError("workspace_unreachable", "later", retry_after=60.0))
