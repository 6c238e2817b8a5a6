"""Serving the stream "log.follow": the last lines of a log and what follows, as they are written.

Contract: `begin(toolbox, stream, asked)` gives what the opener is told and the work that follows; a log that is not there is
told at once. The follow ends when its reader ends or resets the stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import msgspec
from anyio.abc import TaskGroup

from stead.protocol.errors import SteadError
from stead.toolbox.local import LocalToolbox
from stead.toolbox.system.contract import ReadLog
from stead.transport.streams import Stream

ASKED = msgspec.json.Decoder(ReadLog)


async def begin(
    toolbox: LocalToolbox, stream: Stream, asked: ReadLog
) -> tuple[dict[str, str], Callable[[], Awaitable[None]]]:
    """Follows from now on."""
    stack = AsyncExitStack()
    pieces = await stack.enter_async_context(toolbox.following(asked))

    async def serve() -> None:
        async with stack, anyio.create_task_group() as group:
            group.start_soon(_listen, stream, group)
            await _tell(stream, pieces)
            group.cancel_scope.cancel()

    return {"path": asked.path, "unit": asked.unit}, serve


async def _tell(stream: Stream, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for piece in pieces:
            await stream.send(piece)
        await stream.end()
    except SteadError as error:
        await stream.reset(error)


async def _listen(stream: Stream, group: TaskGroup) -> None:
    """A reader says nothing; its end is the end."""
    try:
        while await stream.receive() is not None:
            pass
        await stream.end()
    except SteadError as error:
        await stream.reset(error)
    group.cancel_scope.cancel()
