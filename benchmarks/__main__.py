"""`python -m benchmarks [NAME...]`: measures all and writes docs/benchmarks.md, or only prints the named rows.

A measurement that breaks, takes too long or lacks an engine is a row that says so; what it measured before and all others
stay. The page is written after each.
"""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import anyio

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.report import MissingError, Row
from stead.sdk import Stead
from stead.testing.server import Server

SECONDS = {
    "exec": 60,
    "shell": 60,
    "toolbox": 60,
    "create": 60,
    "files": 60,
    "search": 60,
    "weight": 60,
    "standalone": 60,
    "machine": 150,
    "commands": 180,
    "nodes": 300,
}
"""The measurements in their order, and how long each may take: the short ones first, those that fill the machine last."""
ALONE = {"search", "standalone", "machine"}
"""No control plane takes part in these."""


async def main(names: list[str]) -> int:
    """0 when nothing broke."""
    unknown = set(names) - set(SECONDS)
    if unknown:
        print(f"bench: unknown: {', '.join(sorted(unknown))}; there are: {', '.join(SECONDS)}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    wanted = names or [*SECONDS]
    rows: list[Row] = []
    broken = 0
    for position, name in enumerate(wanted, 1):
        began = time.monotonic()
        print(f"bench: {name}", flush=True)
        found, good = await tried(name)
        rows += found
        broken += not good
        print("\n".join(row.line() for row in found))
        print(f"bench: {name} took {time.monotonic() - began:.0f} s", flush=True)
        if not names:
            report.write(rows, wanted[position:], load)
    return 1 if broken else 0


async def tried(name: str) -> tuple[list[Row], bool]:
    """What one measurement found, also when it broke, and whether it did not break."""
    found: list[Row] = []
    try:
        await measure(name, found)
    except MissingError as reason:
        return [*found, report.absent(name, reason)], True
    except Exception as error:  # noqa: BLE001 - the page names it, and the exit code tells
        traceback.print_exc()
        return [*found, report.absent(name, error)], False
    return found, True


async def measure(name: str, found: list[Row]) -> None:
    """One measurement; with a fresh server, which is stopped in any case, where it takes part."""
    rows = import_module(f"benchmarks.{name}").rows
    if name in ALONE:
        await collect(name, rows(), found)
        return
    with tempfile.TemporaryDirectory(prefix="stead-bench-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder))
        try:
            await anyio.to_thread.run_sync(server.start)
            async with Stead(data=server.data) as stead:
                await collect(name, rows(Bench(server, stead)), found)
        finally:
            await anyio.to_thread.run_sync(server.stop)


async def collect(name: str, rows: AsyncIterator[Row], found: list[Row]) -> None:
    """Takes the rows as they come, within the time that they have."""
    with anyio.fail_after(SECONDS[name]):
        async for row in rows:
            found.append(row)  # noqa: PERF401 - what came before a failure is kept


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1:]))
