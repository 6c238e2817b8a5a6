"""The history: the newest is kept, the oldest goes and is counted."""

import anyio
import pytest

from stead.guest.sidecar.history import OVERHEAD, History

pytestmark = pytest.mark.anyio


async def test_the_oldest_goes_when_there_are_too_many() -> None:
    history = History(entries=3)
    for number in range(5):
        history.add("stdout", str(number), "p", float(number))
    assert [(entry.id, entry.data) for entry in history.last(10)] == [(3, "2"), (4, "3"), (5, "4")]
    stats = history.stats()
    assert (stats.total_entries, stats.dropped_count) == (3, 2)
    assert (stats.oldest_timestamp, stats.newest_timestamp) == (2.0, 4.0)


async def test_the_oldest_goes_when_there_is_too_much() -> None:
    history = History(size=3 * (2 * 10 + OVERHEAD))
    for number in range(10):
        history.add("stderr", str(number) * 10, "p", 0.0)
    assert history.stats().total_entries == 3
    assert history.stats().memory_usage <= 3 * (2 * 10 + OVERHEAD)
    history.add("stdout", "x" * 10_000, "p", 0.0)
    assert history.stats().total_entries == 0
    history.add("stdout", "x", "p", 0.0)
    assert [entry.data for entry in history.last(10)] == ["x"]


async def test_ids_go_on_after_it_was_cleared() -> None:
    history = History()
    history.add("command", "a", "p", 0.0)
    history.clear()
    assert (history.last(5), history.stats().memory_usage) == ([], 0)
    history.add("command", "b", "p", 0.0)
    assert [entry.id for entry in history.after(0)] == [2]
    assert history.last(0) == []


async def test_who_waits_is_told() -> None:
    history = History()
    history.add("stdout", "before", "p", 0.0)
    found = []

    async def wait() -> None:
        found.extend(await history.more(1))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert found == []
        history.add("stdout", "after", "p", 0.0)
    assert [entry.data for entry in found] == ["after"]
