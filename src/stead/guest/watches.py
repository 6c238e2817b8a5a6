"""Serving the stream "watch": lists of changes as lines of JSON, and what the reader says about pausing.

Contract: `begin(toolbox, stream, asked)` gives what the opener is told and the work that follows. Changes that happen after the
stream was opened are told. A reader that is slow costs what `stead.toolbox.watch.hub` keeps for it, no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.protocol.errors import SteadError
from stead.toolbox.local import LocalToolbox
from stead.toolbox.watch.contract import Change, Control, WatchFiles
from stead.toolbox.watch.hub import Reading
from stead.transport.streams import Stream

TOGETHER = 200
"""Changes of one line."""
CONTROL_BYTES = 1 << 12

ASKED = msgspec.json.Decoder(WatchFiles)
_CONTROL = msgspec.json.Decoder(Control)


async def begin(
    toolbox: LocalToolbox, stream: Stream, asked: WatchFiles
) -> tuple[dict[str, str], Callable[[], Awaitable[None]]]:
    """Watches from now on."""
    stack = AsyncExitStack()
    reading = await stack.enter_async_context(toolbox.watching(asked))
    assert isinstance(reading, Reading)

    async def serve() -> None:
        async with stack:
            await _serve(stream, reading)

    return {"path": asked.path}, serve


async def _serve(stream: Stream, reading: Reading) -> None:
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_listen, stream, reading, group)
            await _tell(stream, reading)
            group.cancel_scope.cancel()
    finally:
        await stream.reset(SteadError("cancelled", "the watch is over"))


async def _tell(stream: Stream, reading: Reading) -> None:
    try:
        while batch := await reading.batch():
            await stream.send(lines(batch))
    except SteadError as error:
        await stream.reset(error)


async def _listen(stream: Stream, reading: Reading, group: TaskGroup) -> None:
    """The reader ends the watch by ending or resetting the stream."""
    rest = b""
    try:
        while (data := await stream.receive()) is not None:
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > CONTROL_BYTES:
                raise SteadError("malformed", "what the reader of a watch says is too long")
            for line in whole:
                await _obey(reading, line)
        await stream.end()
    except SteadError as error:
        await stream.reset(error)
    group.cancel_scope.cancel()


async def _obey(reading: Reading, line: bytes) -> None:
    try:
        control = _CONTROL.decode(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SteadError("malformed", f"what the reader of a watch says: {error}") from None
    await (reading.pause() if control.paused else reading.resume())


def lines(changes: Sequence[Change]) -> bytes:
    """As they are on the wire."""
    parts = (changes[start : start + TOGETHER] for start in range(0, len(changes), TOGETHER))
    return b"".join(msgspec.json.encode(part) + b"\n" for part in parts)
