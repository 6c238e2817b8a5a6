"""Resident memory of each part after a little work, and how soon the server and a guest are ready."""

import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from benchmarks.bench import Bench
from benchmarks.report import Row, mib, ms
from stead.testing.server import Server

WARM = 50
GUEST_AIM = 30 * 2**20


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """Memory is counted as proportional set size, so that pages shared between processes count once."""
    async with bench.workspace() as workspace:
        for _ in range(WARM):
            await workspace.exec(["true"])
        found = parts(bench.server.data)
        guest = found["workspace"]
        yield Row(what="control plane, resident", ours=mib(resident(psutil.Process(bench.server.pid))))
        yield Row(what="node, resident", ours=mib(found["node"]))
        yield Row(what="its nursery, from which workspaces are forked, resident", ours=mib(found["nursery"]))
        yield Row(
            what="all of one workspace (sandbox, holder, guest), resident",
            ours=mib(guest),
            aim="30 MiB",
            met=guest <= GUEST_AIM,
        )
    yield Row(what="`stead up` to the first answer, empty data folder", ours=ms(first_start()))


def parts(data: Path) -> dict[str, float]:
    """The memory of the node, its nursery and all that belongs to workspaces: what names this data folder, and its children."""
    named = [process for process in psutil.process_iter() if str(data) in " ".join(arguments(process))]
    family = {child.pid: child for process in named for child in [process, *process.children(recursive=True)]}
    found = {"node": 0.0, "nursery": 0.0, "workspace": 0.0}
    for process in family.values():
        argv = " ".join(arguments(process))
        if "stead.node" in argv:
            found["node"] += resident(process)
        elif "stead.guest.nursery" in argv:
            found["nursery"] += resident(process)
        elif "stead.guest" in argv:
            found["workspace"] += resident(process)
    return found


def arguments(process: psutil.Process) -> list[str]:
    """Its argument vector; none when it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def resident(process: psutil.Process) -> float:
    """Proportional set size in bytes. Of a process that is hidden from its own user, all that is resident: too much."""
    try:
        return float(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return float(process.memory_info().rss)


def first_start() -> float:
    """Seconds until a new server answers."""
    with tempfile.TemporaryDirectory(prefix="stead-bench-") as folder:
        server = Server(Path(folder))
        start = time.perf_counter()
        server.start()
        seconds = time.perf_counter() - start
        server.stop()
        return seconds
