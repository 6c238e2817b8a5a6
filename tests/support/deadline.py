"""Waiting for what no event tells: poll with a deadline, and say what was awaited when it passes."""

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import anyio

T = TypeVar("T")

PATIENCE = 30.0
"""Generous: a loaded two-core machine must not fail a test."""


def eventually(probe: Callable[[], T], what: str, within: float = PATIENCE, every: float = 0.02) -> T:
    """The first true answer of a plain function."""
    until = time.monotonic() + within
    while not (answer := probe()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g} s: {what}")
        time.sleep(every)
    return answer


async def eventually_async(
    probe: Callable[[], T | Awaitable[T]], what: str, within: float = PATIENCE, every: float = 0.02
) -> T:
    """The first true answer of a plain or an async function, without blocking the loop."""
    until = time.monotonic() + within
    while True:
        answer = probe()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return cast("T", answer)
        if time.monotonic() > until:
            raise AssertionError(f"not within {within:g} s: {what}")
        await anyio.sleep(every)
