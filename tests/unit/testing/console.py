"""A mock control plane under test, and what a person types and sees."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from stead.testing.mockcontrol import run
from support.deadline import eventually_async


class Console:
    """What a person types and sees."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self._send, self._lines = anyio.create_memory_object_stream[str](100)

    async def type(self, line: str) -> None:
        await self._send.send(f"{line}\n")

    async def lines(self) -> AsyncIterator[str]:
        async for line in self._lines:
            yield line

    async def sees(self, text: str) -> str:
        await eventually_async(lambda: any(text in line for line in self.shown), f"{text!r} is shown")
        return next(line for line in self.shown if text in line)

    def close(self) -> None:
        self._send.close()
        self._lines.close()


@asynccontextmanager
async def mocked() -> AsyncIterator[tuple[Console, str]]:
    console = Console()
    try:
        with anyio.fail_after(100):
            async with anyio.create_task_group() as group:
                group.start_soon(run, "127.0.0.1", 0, console.lines(), console.shown.append)
                line = await console.sees("listening on")
                yield console, line.split("http://")[1].split(";")[0]
                await console.type("quit")
    finally:
        console.close()
