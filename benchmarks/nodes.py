"""Thousands of idle nodes: what each costs the control plane in memory, and how long all need to come back."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psutil

from benchmarks.bench import Bench
from benchmarks.report import Row
from stead.sdk import Stead

COUNT = 10_000
PROCESSES = 4
"""Of simulated nodes, so that only the control plane needs as many open files as there are nodes."""
IDLE = 35
"""Seconds after which every node has sent heartbeats and nothing else is under way."""
NODE_AIM = 64 * 1024
RECONNECT_AIM = 60.0
PATIENCE = 600.0


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """Memory is the resident set over that of a server that just began, after a restart, so that enrolling does not count."""
    empty = memory(bench)
    async with fleets(bench, COUNT, PROCESSES) as running:
        await asyncio.gather(*(connected(fleet) for fleet in running))
        bench.server.kill()
        killed = time.monotonic()
        await anyio.to_thread.run_sync(bench.server.start)
        seconds = max(await asyncio.gather(*(connected(fleet, since=killed) for fleet in running))) - killed
        yield Row(
            what=f"{COUNT} nodes back after `kill -9` of the control plane, its own start included",
            ours=f"{seconds:.0f} s",
            aim="under 60 s",
            met=seconds < RECONNECT_AIM,
        )
        await anyio.sleep(IDLE)
        each = (memory(bench) - empty) / COUNT
        await all_online(bench.stead)
    yield Row(
        what=f"an idle node of {COUNT}, memory in the control plane",
        ours=f"{each / 1024:.0f} KiB",
        aim="64 KiB",
        met=each <= NODE_AIM,
    )


@asynccontextmanager
async def fleets(bench: Bench, count: int, processes: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Simulated nodes in processes of their own; they leave when the block ends."""
    each = count // processes
    running = [await start(bench, each, f"fleet{number}") for number in range(processes)]
    try:
        yield running
    finally:
        for fleet in running:
            assert fleet.stdin is not None
            fleet.stdin.close()
        for fleet in running:
            await asyncio.wait_for(fleet.wait(), 60)


async def start(bench: Bench, count: int, label: str) -> asyncio.subprocess.Process:
    """One process of nodes, enrolled."""
    argv = [sys.executable, "-m", "benchmarks.fleet", bench.server.url]
    pipe = asyncio.subprocess.PIPE
    fleet = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert fleet.stdin is not None
    fleet.stdin.write(f"{count} {label}\n".encode())
    for token in await tokens(bench.stead, count):
        fleet.stdin.write(f"{token}\n".encode())
        await fleet.stdin.drain()
    await line(fleet, "enrolled")
    return fleet


async def tokens(stead: Stead, count: int) -> list[str]:
    """Single-use enrolment tokens."""
    found: list[str] = []
    limit = anyio.Semaphore(16)

    async def one() -> None:
        async with limit:
            found.append((await stead.nodes.create_token()).token)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return found


async def line(fleet: asyncio.subprocess.Process, word: str) -> list[str]:
    """The words of the fleet's next line that begins with this one."""
    assert fleet.stdout is not None
    with anyio.fail_after(PATIENCE):
        while text := await fleet.stdout.readline():
            words = text.decode().split()
            if words[0] == word:
                return words
    raise RuntimeError("a fleet ended too early")


async def connected(fleet: asyncio.subprocess.Process, since: float = 0.0) -> float:
    """When the fleet had all its nodes connected, later than `since`, by the machine's monotonic clock."""
    while (at := float((await line(fleet, "connected"))[1])) < since:
        pass
    return at


async def all_online(stead: Stead) -> None:
    """The control plane sees them too."""
    online = [node async for node in stead.nodes.list(status="online")]
    if len(online) < COUNT:
        raise RuntimeError(f"only {len(online)} of {COUNT} nodes are online")


def memory(bench: Bench) -> float:
    """The control plane's resident set in bytes."""
    return float(psutil.Process(bench.server.pid).memory_info().rss)
