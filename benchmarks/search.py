"""Searching a large tree through the toolbox, beside bare ripgrep on the same tree; processor time of all that work."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from benchmarks.report import Row, median, ms, timed
from stead.toolbox.local import opened

DIRECTORIES = 200
FILES = 100
LINES = 60
ROUNDS = 15
ASIDE = 97
"""One file in so many has what is sought."""


async def rows() -> AsyncIterator[Row]:
    """20,000 files. The toolbox is the local one: what is measured is what it adds to ripgrep."""
    with tempfile.TemporaryDirectory(prefix="stead-search-") as name:
        root = Path(name, "root")
        make(root)
        async with opened(root, Path(name, "run")) as toolbox:

            async def content() -> None:
                found = await toolbox.search.content("needle_[0-9]+")
                assert len(found.matches) == DIRECTORIES * FILES // ASIDE + 1

            async def names() -> None:
                found = await toolbox.search.names("d17f42", limit=5)
                assert found.files

            (ours, ours_cpu), (peer, peer_cpu) = await measured(content, lambda: bare(root))
            ((named, _),) = await measured(names)
    what = f"content search over {DIRECTORIES * FILES:,} files, {DIRECTORIES * FILES // ASIDE + 1} matches; peer: bare ripgrep"
    yield row(f"{what}, time", ours, peer)
    yield row(f"{what}, processor time", ours_cpu, peer_cpu)
    yield Row(what=f"files by letters of their names among {DIRECTORIES * FILES:,}, warm", ours=ms(named))


def row(what: str, ours: float, peer: float) -> Row:
    """The plan's aim."""
    return Row(what=what, ours=ms(ours), peer=ms(peer), ratio=ours / peer, aim="within 1.2x", met=ours <= 1.2 * peer)


def make(root: Path) -> None:
    """Source-like files, of which few have what is sought."""
    body = "".join(f"def function_{line}(argument): return argument + {line}\n" for line in range(LINES))
    for directory in range(DIRECTORIES):
        place = root / f"d{directory}"
        place.mkdir(parents=True)
        for file in range(FILES):
            number = directory * FILES + file
            (place / f"f{file}.py").write_text(body + (f"needle_{number} = 1\n" if number % ASIDE == 0 else ""))


async def measured(*works: Callable[[], Awaitable[object]]) -> list[tuple[float, float]]:
    """Of each, in turns: the middle of the seconds by the clock, and the mean of those of processors."""
    clocks: list[list[float]] = [[] for _ in works]
    used = [0.0 for _ in works]
    for _ in range(ROUNDS):
        for index, work in enumerate(works):
            before = cpu()
            clocks[index] += await timed(work, 1, warm=0)
            used[index] += cpu() - before
    return [(median(seconds), spent / ROUNDS) for seconds, spent in zip(clocks, used, strict=True)]


def cpu() -> float:
    """Of this process and of those that it started and that ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in both)


async def bare(root: Path) -> None:
    """As a person runs it, output and all."""
    ours = Path(sys.executable).with_name("rg")
    argv = [str(ours) if ours.exists() else "rg", "--no-config", "-n", "needle_[0-9]+", "./"]
    found = subprocess.run(argv, cwd=root, stdout=subprocess.PIPE, check=True, env=os.environ)
    assert found.stdout.count(b"\n") == DIRECTORIES * FILES // ASIDE + 1
