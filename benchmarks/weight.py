"""Resident memory of each part after a little work, and how soon the server and a guest are ready."""

import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.bench import Bench
from benchmarks.report import Row, mib, ms
from stead.testing.server import Server

WARM = 50
GUEST_AIM = 30 * 2**20


async def rows(bench: Bench) -> list[Row]:
    """Memory is counted as proportional set size, so that pages shared between processes count once."""
    async with bench.workspace() as workspace:
        for _ in range(WARM):
            await workspace.exec(["true"])
        found = parts(bench.server.data)
        guest = found.get("guest", 0) + found.get("holder", 0)
        return [
            Row(what="control plane, resident", ours=mib(resident(psutil.Process(bench.server.pid)))),
            Row(what="node, resident", ours=mib(found.get("node", 0))),
            Row(
                what="guest and holder of one workspace, resident",
                ours=mib(guest),
                aim="30 MiB",
                met=guest <= GUEST_AIM,
            ),
            Row(what="`stead up` to the first answer, empty data folder", ours=ms(first_start())),
        ]


def parts(data: Path) -> dict[str, float]:
    """The memory of the processes that carry this data folder in their arguments, by part."""
    found: dict[str, float] = {}
    for process in psutil.process_iter(["cmdline"]):
        argv = " ".join(process.info["cmdline"] or [])
        if str(data) not in argv and "stead.guest" not in argv:
            continue
        for part, module in (("holder", "stead.guest.holder"), ("guest", "stead.guest"), ("node", "stead.node")):
            if f"-m {module}" in argv and "bwrap" not in argv.split()[0]:
                found[part] = found.get(part, 0) + resident(process)
                break
    return found


def resident(process: psutil.Process) -> float:
    """Proportional set size in bytes."""
    return float(process.memory_full_info().pss)


def first_start() -> float:
    """Seconds until a new server answers."""
    with tempfile.TemporaryDirectory(prefix="stead-bench-") as folder:
        server = Server(Path(folder))
        start = time.perf_counter()
        server.start()
        seconds = time.perf_counter() - start
        server.stop()
        return seconds
