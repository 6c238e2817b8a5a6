"""`python -m benchmarks [NAME...]`: measures all and writes docs/benchmarks.md, or only prints the named rows."""

import os
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

import anyio

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.report import Row
from stead.sdk import Stead
from stead.testing.server import Server

NAMES = ("exec", "shell", "create", "commands", "nodes", "files", "search", "weight")


async def main(names: list[str]) -> int:
    """A measurement that breaks is named and does not stop the others."""
    unknown = set(names) - set(NAMES)
    if unknown:
        print(f"bench: unknown: {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    rows: list[Row] = []
    failed: dict[str, str] = {}
    for name in names or NAMES:
        print(f"bench: {name}", flush=True)
        try:
            rows += await measure(name)
        except Exception as error:  # noqa: BLE001 - the report names it, and the exit code tells
            traceback.print_exc()
            failed[name] = type(error).__name__
    print("\n".join(row.line() for row in rows) if names else report.write(rows, failed, load))
    return 1 if failed else 0


async def measure(name: str) -> list[Row]:
    """One measurement with a fresh server."""
    with tempfile.TemporaryDirectory(prefix="stead-bench-") as folder:
        server = Server(Path(folder))
        await anyio.to_thread.run_sync(server.start)
        try:
            async with Stead(data=server.data) as stead:
                found: list[Row] = await import_module(f"benchmarks.{name}").rows(Bench(server, stead))
                return found
        finally:
            await anyio.to_thread.run_sync(server.stop)


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1:]))
