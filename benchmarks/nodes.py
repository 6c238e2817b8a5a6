"""Thousands of idle nodes: what each costs the control plane in memory, and how long all need to come back."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import psutil

from benchmarks.bench import Bench
from benchmarks.report import Row
from stead.sdk import Stead

COUNT = 9_000
"""Below the 10,000 of the aim by the share of a 20,000 file limit that both ends of a socket and the rest need."""
PROCESSES = 3
NODE_AIM = 64 * 1024
RECONNECT_AIM = 60.0
PATIENCE = 600.0


async def rows(bench: Bench) -> list[Row]:
    """Memory is the growth of the control plane's resident set, after a restart, so that enrolling does not count."""
    async with fleets(bench, COUNT, PROCESSES) as running:
        await asyncio.gather(*(line(fleet, "connected") for fleet in running))
        bench.server.kill()
        await anyio.to_thread.run_sync(bench.server.start)
        empty = memory(bench)
        seconds = await bench.seconds(asyncio.gather(*(line(fleet, "connected") for fleet in running)))
        await anyio.sleep(35)
        each = (memory(bench) - empty) / COUNT
    return [
        Row(
            what=f"an idle node of {COUNT}, memory in the control plane",
            ours=f"{each / 1024:.0f} KiB",
            aim="64 KiB",
            met=each <= NODE_AIM,
        ),
        Row(
            what=f"{COUNT} nodes back after `kill -9` of the control plane",
            ours=f"{seconds:.0f} s",
            aim="under 60 s",
            met=seconds < RECONNECT_AIM,
        ),
    ]


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


async def line(fleet: asyncio.subprocess.Process, word: str) -> None:
    """Waits until the fleet says this word."""
    assert fleet.stdout is not None
    with anyio.fail_after(PATIENCE):
        while text := await fleet.stdout.readline():
            if text.startswith(word.encode()):
                return
    raise RuntimeError("a fleet ended too early")


def memory(bench: Bench) -> float:
    """The control plane's resident set in bytes."""
    return float(psutil.Process(bench.server.pid).memory_info().rss)
