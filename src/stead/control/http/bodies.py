"""Request bodies read whole, within a bound.

Contract: `read_body(receive, limit)` raises "too_large" as soon as it is; `replayed(body, receive)` gives it once more;
`hurried(receive, seconds)` raises "timeout" when the whole has not come in time.
"""

from __future__ import annotations

import anyio

from stead.control.http.asgi import Message, Receive
from stead.protocol.errors import SteadError


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body; "unavailable" when the client is gone."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise SteadError("unavailable", "the client went away")
        parts.append(message["body"])
        size += len(message["body"])
        if size > limit:
            raise SteadError("too_large", f"the body is larger than {limit} bytes")
        more = message["more_body"]
    return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body first, then whatever still comes."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        message: Message = await receive()
        return message

    return again


def hurried(receive: Receive, seconds: float) -> Receive:
    """A receive for those of whom nothing is known: they may not keep us waiting."""
    deadline = anyio.current_time() + seconds

    async def soon() -> Message:
        with anyio.move_on_after(max(0.0, deadline - anyio.current_time())):
            message: Message = await receive()
            return message
        raise SteadError("timeout", "the body did not come in time (`limits.head_seconds`)")

    return soon
