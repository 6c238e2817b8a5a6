"""A large file up and down, beside scp over a kept-open master."""

import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import peers, shell
from benchmarks.bench import Bench
from benchmarks.report import Row, median

SIZE = 100 * 2**20
ROUNDS = 9
PIECE = 2**18


async def rows(bench: Bench) -> AsyncIterator[Row]:
    """Random bytes, so that nothing can compress them."""
    with tempfile.TemporaryDirectory(prefix="stead-files-") as name:
        source, target = Path(name, "source"), Path(name, "target")
        with Path("/dev/urandom").open("rb") as noise:
            source.write_bytes(noise.read(SIZE))
        for row in await _measure(bench, source, target):
            yield row


async def _measure(bench: Bench, source: Path, target: Path) -> list[Row]:
    up: list[float] = []
    down: list[float] = []
    scp_up: list[float] = []
    scp_down: list[float] = []
    async with bench.workspace() as workspace:
        with peers.sshd() as sshd:
            remote = f"{sshd.user}@127.0.0.1:big"
            scp = ["scp", "-q", "-P", *shell.ssh_options(sshd)]
            for _ in range(ROUNDS):
                up.append(await bench.seconds(workspace.toolbox.upload("big", pieces(source))))
                scp_up.append(_seconds([*scp, str(source), remote]))
                down.append(await bench.seconds(save(workspace.toolbox.download("big"), target)))
                assert target.read_bytes() == source.read_bytes()
                scp_down.append(_seconds([*scp, remote, str(target)]))
    return [_row("up", up, scp_up), _row("down", down, scp_down)]


async def pieces(source: Path) -> AsyncIterator[bytes]:
    """The content of a file in parts."""
    with source.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


async def save(content: AsyncIterator[bytes], target: Path) -> None:
    """Writes what comes."""
    with target.open("wb") as file:
        async for piece in content:
            file.write(piece)


def _row(way: str, ours: list[float], peer: list[float]) -> Row:
    mine, theirs = median(ours), median(peer)
    return Row(
        what=f"a file of {SIZE // 2**20} MiB {way}; peer: scp",
        ours=f"{SIZE / mine / 1e6:.0f} MB/s",
        peer=f"{SIZE / theirs / 1e6:.0f} MB/s",
        ratio=mine / theirs,
        aim="no slower",
        met=mine <= theirs,
    )


def _seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start
