"""Server-sent events: what flows out of a workspace, as events that browsers and curl understand.

Contract: `event(kind, data)` is one on the wire. `received(stream)` gives what a stream brings, None at each silence of
`BEAT_SECONDS`, which is told as `BEAT`, and resets the stream when it is left early.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anyio

from stead.transport.streams import Stream

MEDIA_TYPE = "text/event-stream"
SENT_AS = f"{MEDIA_TYPE}; charset=utf-8"
HEADERS = {"cache-control": "no-store"}
BEAT_SECONDS = 15.0
BEAT = b": still here\n\n"


def event(kind: str, data: bytes, id: object = "") -> bytes:
    """One event; the data is JSON, which has no line breaks."""
    mark = f"id: {id}\n" if id != "" else ""
    return f"event: {kind}\n{mark}data: ".encode() + data + b"\n\n"


async def received(stream: Stream, beat: float = BEAT_SECONDS) -> AsyncGenerator[bytes | None, None]:
    """To the end of the stream."""
    async with stream:
        while True:
            with anyio.move_on_after(beat) as waited:
                data = await stream.receive()
            if waited.cancelled_caught:
                yield None
            elif data is None:
                return
            else:
                yield data
