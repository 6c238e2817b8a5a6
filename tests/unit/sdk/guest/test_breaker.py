"""The circuit: five failures in a minute open it, one probe after a rest decides."""

import pytest

from stead.protocol.errors import SteadError
from stead.sdk.guest.breaker import FAILURES, REST, WINDOW, Breaker


def _failing(breaker: Breaker, times: list[float]) -> None:
    for now in times:
        breaker.allow(now)
        breaker.failed(now)


def test_five_failures_in_the_window_open_it() -> None:
    breaker = Breaker()
    _failing(breaker, [1.0] * (FAILURES - 1))
    assert breaker.state == "closed"
    _failing(breaker, [2.0])
    assert breaker.state == "open"
    with pytest.raises(SteadError) as caught:
        breaker.allow(3.0)
    assert caught.value.code == "unavailable"


def test_failures_far_apart_do_not() -> None:
    breaker = Breaker()
    _failing(breaker, [number * WINDOW for number in range(20)])
    assert breaker.state == "closed"


def test_a_success_forgets_failures() -> None:
    breaker = Breaker()
    _failing(breaker, [1.0] * (FAILURES - 1))
    breaker.allow(1.0)
    breaker.succeeded()
    _failing(breaker, [1.0] * (FAILURES - 1))
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
    breaker.failed(REST)
    with pytest.raises(SteadError):
        breaker.allow(REST * 1.5)
    breaker.allow(REST * 2)
    assert breaker.state == "half-open"


def test_a_probe_whose_caller_went_away_lets_the_next_one_through() -> None:
    breaker = _half_open()
    breaker.abandoned()
    breaker.allow(REST)
    assert breaker.state == "half-open"
