"""One call over links that come and go: one deadline for all of it, another attempt only where that is safe, and an end that
says what is known.

Contract: `Deadline(seconds)` begins with the call, and each hop passes on what is `left`; a hop waits its own grace longer than
that, the nearer to the caller the longer, so that who knows most answers first. `ask(message, link, ...)` relays a call over
what `link(seconds)` gives, which is asked again after a loss; `opened` opens a stream. `UnansweredError` is a link's word for a
request that was sent and not answered: what may not be repeated ends as "outcome_unknown" then (`verdict`), and in no other
case.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import anyio.lowlevel

from stead.protocol.errors import SteadError
from stead.transport.backoff import AWAY_SECONDS, Absence

if TYPE_CHECKING:
    import msgspec

    from stead.protocol.messages import Call, Request, StreamOpen

LONGEST = 86_400.0
"""The most seconds that a call may take."""
NODE_GRACE = 3.0
CONTROL_GRACE = 6.0
CLIENT_GRACE = 9.0
MANY = 1 << 30


class UnansweredError(SteadError):
    """It was sent, and no answer came: the link was lost, or the time is over. It may have been done."""


class Deadline:
    """The time of one call; nothing, and what is too much, is the longest."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = clock() + (seconds if 0 < seconds < LONGEST else LONGEST)

    @property
    def left(self) -> float:
        """Seconds; never less than none."""
        return max(0.0, self._until - self._clock())


class Way(Protocol):
    """What a call needs of a link (`stead.transport.peer.Peer`)."""

    @property
    def lost(self) -> bool: ...
    async def relay(self, message: Request, timeout: float) -> msgspec.Raw: ...


async def ask(
    message: Call,
    link: Callable[[float], Awaitable[Way]],
    deadline: Deadline,
    *,
    grace: float,
    repeat: bool,
    losses: int = MANY,
    patience: float = AWAY_SECONDS,
) -> msgspec.Raw:
    """The answer, undecoded. So many lost links are borne where the call may be repeated, and a part beyond the link that is
    away is waited for with `patience`."""
    absence = Absence(patience)
    while True:
        way = await link(deadline.left)
        try:
            return await once(message, way, deadline, grace=grace, repeat=repeat)
        except SteadError as error:
            if not way.lost or error.code != "unavailable":
                await absence.pause(error, repeat=repeat)
            elif losses <= 0 or not repeat:
                raise
            losses -= 1
            await anyio.lowlevel.checkpoint()


async def once(message: Call, way: Way, deadline: Deadline, *, grace: float, repeat: bool) -> msgspec.Raw:
    """One attempt, with the time that is left."""
    message.timeout = _left(deadline, f"ask for {message.method}")
    try:
        return await way.relay(message, message.timeout + grace)
    except UnansweredError as error:
        raise verdict(error, message.method, repeat=repeat) from None


async def opened(message: StreamOpen, way: Way, deadline: Deadline, *, grace: float) -> msgspec.Raw:
    """One attempt to open a stream, with the time that is left. Whatever becomes of it, it may be made again: the same id opens
    nothing twice."""
    message.timeout = _left(deadline, f"open a stream of {message.kind}")
    return await way.relay(message, message.timeout + grace)


def _left(deadline: Deadline, what: str) -> float:
    """As it is told to the next hop."""
    if (left := deadline.left) <= 0:
        raise SteadError("timeout", f"no time was left to {what}; it was not done")
    return max(0.001, round(left, 3))


def verdict(error: UnansweredError, what: str, *, repeat: bool) -> SteadError:
    """What the caller of a request without an answer is told."""
    return error if repeat else SteadError("outcome_unknown", f"{error.message}; whether {what} was done is not known")
