"""What every call of ripgrep has in common: which files it looks at, and how it is run and told apart from a failure.

Contract: `checked(where)` refuses what cannot be asked. `started(place, options, where)` runs it at the root while the caller
is inside, and gives `Running`: the process, and what of its output belongs to whom. No query, glob or path is ever taken for
an option; the machine's own settings of ripgrep do not count.

A glob to include must not bring back what an ignore file leaves out, as ripgrep's own `--glob` would. So it is given as the
ignore file of lowest rank, through a pipe; what a `!` of the workspace's own ignore files keeps nevertheless is dropped, and so
is what is to be excluded where it is the path to search itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import stat
import sys
from asyncio import StreamReader
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from stead.protocol.errors import SteadError
from stead.toolbox.confine import QUIET, shown
from stead.toolbox.ignoring.globs import Chosen
from stead.toolbox.place import Place
from stead.toolbox.search.contract import Where
from stead.toolbox.watch import mounts

_PIECE = 1 << 16
_COMPLAINT = 1 << 14
_LOOK = getattr(os, "O_PATH", os.O_RDONLY | QUIET) | os.O_CLOEXEC


def program() -> str:
    """The one that came with us, so that all workspaces find the same; else the workspace's own."""
    ours = Path(sys.executable).with_name("rg")
    return str(ours) if ours.exists() else "rg"


def checked(where: Where) -> Callable[[str], bool]:
    """Which paths of the answer are wanted; or "invalid"."""
    exclude = Chosen(where.exclude, "exclude")
    include = Chosen(where.include, "include") if where.include else None
    return lambda path: not exclude.has(path) and (include is None or include.has(path))


def target(place: Place, path: str) -> str:
    """What to search, relative to the root, seen to be inside it; a directory or a regular file."""
    descriptor = place.root.open(path, _LOOK)
    try:
        mode = os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise SteadError("not_file", f"{shown(path)}: it is neither a file nor a directory", path=shown(path))
    return place.root.relative(path)


def within(path: bytes) -> str:
    """A path of the answer as it is told."""
    return path.removeprefix(b"./").decode(errors="replace")


@contextlib.asynccontextmanager
async def started(place: Place, options: list[str], where: Where) -> AsyncIterator[Process]:
    """Runs it while the caller is inside; it sees the files of `where`."""
    inside = await place.in_thread(target, place, where.path)
    argv = [program(), "--no-config", "--no-require-git", "--no-ignore-global", *options, *_which(where)]
    argv += [f"--glob=!{path}" for path in await place.in_thread(_kernels, place)]
    with _rules(where) as rules:
        if rules is not None:
            argv.append(f"--ignore-file=/dev/fd/{rules}")
        argv += ["--", f"./{inside}" if inside != "." else "./"]
        keep = () if rules is None else (rules,)
        async with place.programs.started(argv, cwd=place.root.path, descriptors=keep) as process:
            yield process


@contextlib.asynccontextmanager
async def complaints(reader: StreamReader) -> AsyncIterator[asyncio.Task[str]]:
    """What the program says to its standard error, read while the caller is inside."""
    task = asyncio.create_task(_first(reader))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _first(reader: StreamReader) -> str:
    """All is read, so that ripgrep can go on; the beginning is kept."""
    kept = bytearray()
    while piece := await reader.read(_PIECE):
        kept += piece[: _COMPLAINT - len(kept)]
    return kept.decode(errors="replace")


def _which(where: Where) -> list[str]:
    found = [f"--glob=!{_escaped(glob)}" for glob in where.exclude]
    if where.hidden:
        found += ["--hidden", "--glob=!.git"]
    if where.ignored:
        found.append("--no-ignore")
    return found


def _kernels(place: Place) -> list[str]:
    """Globs for what the kernel shows of itself in a whole machine: some of it never ends. Who names it means it."""
    root = os.path.realpath(place.root.path).rstrip("/")
    inside = (path.removeprefix(root) for path in mounts.state(root or "/") if path != root)
    return [re.sub(r"([^\w/.-])", r"\\\1", path) for path in sorted(inside)]


@contextlib.contextmanager
def _rules(where: Where) -> Iterator[int | None]:
    """The descriptor of an ignore file that leaves out all but what is included."""
    if not where.include:
        yield None
        return
    lines = ["*", "!*/", *(f"!{_escaped(glob)}" for glob in where.include)]
    if not where.hidden:
        lines.append(".*")
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as file:
            file.write("\n".join([*lines, ""]).encode(errors="surrogateescape"))
        yield reading
    finally:
        os.close(reading)


def _escaped(glob: str) -> str:
    """In a glob `!` and `#` are characters like others, and so are blanks at its end."""
    if glob.startswith(("!", "#")):
        glob = f"\\{glob}"
    bare = glob.rstrip(" ")
    return bare + "\\ " * (len(glob) - len(bare))
