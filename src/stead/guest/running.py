"""A guest's main program: `run(work, ...)` runs it until it ends by itself or SIGTERM comes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple, Unpack

import anyio

Given = TypeVarTuple("Given")


def run(work: Callable[[Unpack[Given]], Awaitable[None]], *given: *Given) -> None:
    """Runs it in a loop of its own."""

    async def guarded() -> None:
        task = asyncio.ensure_future(work(*given))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which what is started here would inherit
        with contextlib.suppress(asyncio.CancelledError):
            await task

    anyio.run(guarded)
