"""The circuit: five failures in a minute open it, one probe after a rest decides."""

import pytest

from stead.protocol.errors import SteadError
from stead.transport.breaker import FAILURES, REST, WINDOW, Breaker


def _failing(breaker: Breaker, times: list[float]) -> None:
    for now in times:
        breaker.allow(now)
        breaker.failed(now, SteadError("unavailable", f"it was lost at {now:g}"))


def test_five_failures_in_the_window_open_it() -> None:
    breaker = Breaker()
    _failing(breaker, [1.0] * (FAILURES - 1))
    assert breaker.state == "closed"
    _failing(breaker, [2.0])
    assert breaker.state == "open"
    with pytest.raises(SteadError) as caught:
        breaker.allow(5.0)
    assert caught.value.code == "workspace_unreachable"
    assert caught.value.details["retry_after"] == REST - 3.0
    for words in ("since 3 s", "tried again in 7 s", "it was lost at 2"):
        assert words in caught.value.message
    breaker.allow(2.0 + REST)


def test_failures_far_apart_do_not() -> None:
    breaker = Breaker()
    _failing(breaker, [number * WINDOW for number in range(20)])
    assert breaker.state == "closed"


def test_coming_back_does_not_excuse_being_lost_again() -> None:
    breaker = Breaker()
    for now in range(FAILURES):
        breaker.allow(now)
        breaker.succeeded()
        breaker.failed(now, SteadError("unavailable", "lost"))
    assert breaker.state == "open"


def test_one_loss_of_which_many_hear_counts_once() -> None:
    breaker = Breaker()
    lost = SteadError("unavailable", "lost")
    for _ in range(FAILURES * 2):
        breaker.failed(0.0, lost)
    assert breaker.state == "closed"


def test_an_attempt_is_judged_by_how_it_ends() -> None:
    breaker = Breaker(failures=1)
    with pytest.raises(KeyboardInterrupt), breaker.attempt(lambda: 0.0):
        raise KeyboardInterrupt
    assert breaker.state == "closed"
    with pytest.raises(SteadError), breaker.attempt(lambda: 0.0):
        raise SteadError("unavailable", "lost")
    assert breaker.state == "open"
    with breaker.attempt(lambda: REST):
        assert breaker.state == "half-open"
    assert breaker.state == "closed"


def _half_open() -> Breaker:
    breaker = Breaker()
    _failing(breaker, [0.0] * FAILURES)
    breaker.allow(REST)
    return breaker


def test_one_probe_at_a_time_after_the_rest() -> None:
    breaker = _half_open()
    assert breaker.state == "half-open"
    with pytest.raises(SteadError):
        breaker.allow(REST)


def test_a_good_probe_closes_it() -> None:
    breaker = _half_open()
    breaker.succeeded()
    breaker.allow(REST)
    assert breaker.state == "closed"


def test_a_bad_probe_opens_it_again_for_as_long() -> None:
    breaker = _half_open()
    breaker.failed(REST, SteadError("unavailable", "lost"))
    with pytest.raises(SteadError):
        breaker.allow(REST * 1.5)
    breaker.allow(REST * 2)
    assert breaker.state == "half-open"


def test_a_probe_whose_caller_went_away_lets_the_next_one_through() -> None:
    breaker = _half_open()
    breaker.abandoned()
    breaker.allow(REST)
    assert breaker.state == "half-open"
