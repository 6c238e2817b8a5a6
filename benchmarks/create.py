"""From asking for a workspace to the end of its first command: one after the other, and a hundred at once."""

import time
from collections.abc import AsyncIterator

import anyio

from benchmarks.bench import Bench
from benchmarks.report import Row, median, ms, p95

ALONE = 20
BURST = 100


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """The process driver, on a server that is already up."""
    await first_command(bench)
    alone = [await first_command(bench) for _ in range(ALONE)]
    yield Row(
        what="create to first command, process driver, median",
        ours=ms(median(alone)),
        aim="under 150 ms",
        met=median(alone) < 0.150,
    )
    burst = await at_once(bench, BURST)
    yield Row(
        what=f"create to first command, {BURST} at once, median",
        ours=ms(median(burst)),
        aim="under 1 s",
        met=median(burst) < 1.0,
    )
    yield Row(what=f"create to first command, {BURST} at once, 95th percentile", ours=ms(p95(burst)))


async def first_command(bench: Bench) -> float:
    """Seconds from asking to the command's end; deleting does not count."""
    start = time.perf_counter()
    async with bench.workspace() as workspace:
        await workspace.exec(["true"])
        return time.perf_counter() - start


async def at_once(bench: Bench, count: int) -> list[float]:
    """Seconds that each of many took. None is deleted before all are done, so that deleting does not count."""
    seconds: list[float] = []
    done = anyio.Event()

    async def one() -> None:
        start = time.perf_counter()
        async with bench.workspace() as workspace:
            await workspace.exec(["true"])
            seconds.append(time.perf_counter() - start)
            if len(seconds) == count:
                done.set()
            await done.wait()

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return seconds
