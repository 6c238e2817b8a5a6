"""The standalone guest, as `make guest` builds it: from its start to its first answer, and its memory after a little work."""

import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psutil

from benchmarks import peers
from benchmarks.report import Row, median, mib, ms
from benchmarks.weight import resident
from stead.sdk.guest.client import connect
from support import machines

STARTS = 15
WARM = 50
READY_AIM = 0.100
MEMORY_AIM = 30 * 2**20
PATIENCE = 30.0


async def rows() -> AsyncIterator[Row]:
    """No control plane takes part. Starts are of a guest whose files the system has in memory."""
    with tempfile.TemporaryDirectory(prefix="stead-standalone-") as name:
        folder = Path(name)
        await anyio.to_thread.run_sync(machines.builder().build, folder / "guest")
        seconds = [await start_to_answer(folder) for _ in range(STARTS)][1:]
        yield Row(
            what="standalone guest, start to first answer, median",
            ours=ms(median(seconds)),
            aim="100 ms",
            met=median(seconds) <= READY_AIM,
        )
        largest, together = await memory(folder)
    yield Row(
        what="standalone guest, the larger of holder and guest, resident, shared pages counted in each",
        ours=mib(largest),
        aim="30 MiB",
        met=largest <= MEMORY_AIM,
    )
    yield Row(what="standalone guest, holder and guest together, shared pages counted once", ours=mib(together))


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """One that runs, with nothing restricted; the path of its door."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        (place / "run").mkdir()
        config = place / "guest.json"
        free = {"allowed_read_paths": None, "allowed_write_paths": None}
        config.write_text(json.dumps({"run": f"{place}/run", "security": free}))
        door = place / "door.sock"
        argv = [*machines.command(str(folder / "guest")), "serve", "--config", str(config), "--socket", str(door)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield door, process
        finally:
            peers.stop(process)


async def start_to_answer(folder: Path) -> float:
    """Seconds until a ping was answered."""
    start = time.perf_counter()
    with serving(folder) as (door, process):
        with anyio.fail_after(PATIENCE):
            while not await answers(door):
                if process.poll() is not None:
                    raise RuntimeError(f"the guest ended with {process.returncode}")
                await anyio.sleep(0.001)
        return time.perf_counter() - start


async def answers(door: Path) -> bool:
    """Whether somebody is there who answers."""
    if not door.exists():
        return False
    try:
        stream = await anyio.connect_unix(str(door))
    except OSError:
        return False
    async with stream:
        await stream.send(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        said = b""
        while b'"id":1' not in said:
            said += await stream.receive()
    return True


async def memory(folder: Path) -> tuple[float, float]:
    """After some commands and reads: the larger resident set, and both proportionally."""
    with serving(folder) as (door, process):
        with anyio.fail_after(PATIENCE):
            while not await answers(door):
                await anyio.sleep(0.01)
        async with connect(door, "stead") as client:
            for _ in range(WARM):
                await client.exec("/bin/true")
                await client.read("/etc/hostname")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        return max(float(one.memory_info().rss) for one in family), sum(resident(one) for one in family)
