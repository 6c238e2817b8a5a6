"""Request bodies read whole, within a bound.

Contract: `read_body(receive, limit)` raises "too_large" as soon as it is; `replayed(body, receive)` gives it once more.
"""

from __future__ import annotations

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
