"""How watchers are woken."""

import anyio
import pytest

from stead.control.store.events import Hints

pytestmark = pytest.mark.anyio


async def test_the_first_announcement_is_heard_at_once() -> None:
    hints = Hints()
    mark = hints.mark()
    hints.announce()
    assert mark.is_set()
    assert not hints.mark().is_set()


async def test_many_announcements_wake_once_and_none_is_lost() -> None:
    hints, woken = Hints(), 0
    hints.announce()

    async def watch() -> None:
        nonlocal woken
        while True:
            await hints.mark().wait()
            woken += 1

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await anyio.lowlevel.checkpoint()
        mark = hints.mark()
        for _ in range(1000):
            hints.announce()
        with anyio.fail_after(30):
            await mark.wait()
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert 1 <= woken < 10
