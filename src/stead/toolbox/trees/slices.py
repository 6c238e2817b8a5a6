"""Long work of threads, in slices: it can be cancelled between two of its steps, and cleans up after itself.

Contract: `driven(place, steps)` runs a generator to its end in threads and gives what it returns. On cancellation, the
generator is closed before the cancellation goes on.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Generator
from typing import Any, TypeVar

import anyio

from stead.toolbox.place import Place

R = TypeVar("R")

SLICE_SECONDS = 0.05


async def driven(place: Place, steps: Generator[None, None, R]) -> R:
    """All of the steps."""
    ended: list[R] = []
    try:
        while not await place.in_thread(_advance, steps, ended):
            pass
    finally:
        with anyio.CancelScope(shield=True):
            await place.in_thread(_close, steps)
    return ended[0]


def _close(steps: Generator[None, None, Any]) -> None:
    """A step that never ends, on a disk that does not answer, cannot be closed."""
    if inspect.getgeneratorstate(steps) != inspect.GEN_RUNNING:
        steps.close()


def _advance(steps: Generator[None, None, Any], ended: list[Any]) -> bool:
    until = time.monotonic() + SLICE_SECONDS
    try:
        while time.monotonic() < until:
            next(steps)
    except StopIteration as stopped:
        ended.append(stopped.value)
        return True
    return False
