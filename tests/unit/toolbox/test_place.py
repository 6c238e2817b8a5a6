"""Work in threads: whoever is cancelled meanwhile leaves when the thread is done, and not before."""

import asyncio
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from stead.toolbox.confine import Root
from stead.toolbox.place import THREADS, Place
from stead.toolbox.trees import slices

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(Root(tmp_path), {})
    yield found
    found.close()
    found.root.close()


class Work:
    """Goes on until it may end."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.ended = False

    def __call__(self) -> int:
        self.begun.set()
        assert self.may_end.wait(60)
        self.ended = True
        return 5


async def test_cancelled_twice_it_still_waits_for_its_thread(place: Place) -> None:
    work = Work()
    task = asyncio.ensure_future(place.in_thread(work))
    await anyio.to_thread.run_sync(work.begun.wait)
    for _ in range(2):
        task.cancel()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert not task.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended


async def test_what_never_ends_is_given_up(place: Place) -> None:
    place.patience = 0.05
    work = Work()

    def steps() -> Generator[None, None, int]:
        yield
        return work()

    for asked in (place.in_thread(work), slices.driven(place, steps())):
        work.begun.clear()
        task = asyncio.ensure_future(asked)
        await anyio.to_thread.run_sync(work.begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not work.ended
    assert await place.in_thread(len, b"x") == 1, "others are served"
    work.may_end.set()


async def test_what_has_not_begun_is_never_done(place: Place) -> None:
    works = [Work() for _ in range(THREADS + 1)]
    tasks = [asyncio.ensure_future(place.in_thread(work)) for work in works]
    for work in works[:-1]:
        await anyio.to_thread.run_sync(work.begun.wait)
    tasks[-1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[-1]
    for work in works:
        work.may_end.set()
    assert await asyncio.gather(*tasks[:-1]) == [5] * THREADS
    assert not works[-1].begun.is_set()


async def test_long_work_over_its_time_cleans_up_before_that_is_told(place: Place) -> None:
    closed: list[bool] = []

    def steps() -> Generator[None, None, int]:
        try:
            while True:
                time.sleep(0.01)
                yield
        finally:
            closed.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await slices.driven(place, steps())
    assert closed == [True]
