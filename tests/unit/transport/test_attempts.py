"""One call over links that are lost, late and away."""

from collections.abc import Callable

import msgspec
import pytest

from stead.protocol.errors import SteadError
from stead.protocol.messages import Call, Request
from stead.transport.attempts import LONGEST, Deadline, UnansweredError, ask

pytestmark = pytest.mark.anyio

DONE = msgspec.Raw(b"1")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Link:
    """A link whose answers are a list; each takes a second."""

    def __init__(self, clock: Clock, *answers: SteadError | msgspec.Raw) -> None:
        self.answers = list(answers)
        self.lost = False
        self.timeouts: list[tuple[float, float]] = []
        self._clock = clock

    async def relay(self, message: Request, timeout: float) -> msgspec.Raw:
        assert isinstance(message, Call)
        self.timeouts.append((message.timeout, timeout))
        self._clock.now += 1.0
        answer = self.answers.pop(0)
        if isinstance(answer, SteadError):
            self.lost = answer.code == "unavailable"
            raise answer
        return answer


def _call() -> Call:
    return Call(request_id="", workspace_id="w", method="text.edit")


def _nothing() -> None:
    """Happens before the link is there."""


async def _asked(
    clock: Clock, link: Link, *, repeat: bool, losses: int = 9, before: Callable[[], None] = _nothing
) -> object:
    async def present(seconds: float) -> Link:
        before()
        link.lost = False
        return link

    return await ask(_call(), present, Deadline(10.0, clock), grace=3.0, repeat=repeat, losses=losses)


def _lost() -> SteadError:
    return UnansweredError("unavailable", "the link to the guest was lost")


async def test_every_attempt_has_what_is_left_of_the_time() -> None:
    clock = Clock()
    link = Link(clock, _lost(), _lost(), DONE)
    assert await _asked(clock, link, repeat=True) == DONE
    assert link.timeouts == [(10.0, 13.0), (9.0, 12.0), (8.0, 11.0)]


async def test_the_time_that_a_link_took_to_come_is_gone() -> None:
    clock = Clock()
    link = Link(clock, DONE)

    def late() -> None:
        clock.now += 7.5

    await _asked(clock, link, repeat=True, before=late)
    assert link.timeouts == [(2.5, 5.5)]


async def test_without_time_nothing_is_sent() -> None:
    clock = Clock()
    link = Link(clock, DONE)

    def too_late() -> None:
        clock.now += 10.0

    with pytest.raises(SteadError) as caught:
        await _asked(clock, link, repeat=False, before=too_late)
    assert caught.value.code == "timeout"
    assert link.timeouts == []


@pytest.mark.parametrize("code", ["unavailable", "timeout"])
async def test_what_may_not_be_repeated_and_was_not_answered_has_an_unknown_outcome(code: str) -> None:
    clock = Clock()
    link = Link(clock, UnansweredError(code, "no answer"), DONE)
    with pytest.raises(SteadError) as caught:
        await _asked(clock, link, repeat=False)
    assert caught.value.code == "outcome_unknown"
    assert "text.edit" in caught.value.message
    assert len(link.timeouts) == 1


async def test_an_answer_is_never_an_unknown_outcome() -> None:
    clock = Clock()
    link = Link(clock, SteadError("timeout", "the guest ended it"))
    with pytest.raises(SteadError) as caught:
        await _asked(clock, link, repeat=False)
    assert caught.value.code == "timeout"


async def test_an_unknown_outcome_beyond_is_asked_for_again_where_that_is_safe() -> None:
    clock = Clock()
    unknown = SteadError("outcome_unknown", "the guest was lost")
    assert await _asked(clock, Link(clock, unknown, DONE), repeat=True) == DONE
    with pytest.raises(SteadError) as caught:
        await _asked(clock, Link(clock, unknown, DONE), repeat=False)
    assert caught.value is unknown


async def test_so_many_losses_are_borne() -> None:
    clock = Clock()
    link = Link(clock, _lost(), _lost(), DONE)
    with pytest.raises(UnansweredError):
        await _asked(clock, link, repeat=True, losses=1)
    assert len(link.timeouts) == 2


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e12, float("nan")])
async def test_no_time_and_too_much_are_the_longest(seconds: float) -> None:
    assert Deadline(seconds, Clock()).left == LONGEST
