"""Single files between this machine and a workspace; large ones go on where they were cut off, also by another process.

Contract: `send` and `fetch` copy one file, `-` is stdin or stdout; `add` adds to one. As with cp, a link here that is the
target stays, and what it leads to is replaced; a pipe or a device is written into. From `RESUME_BYTES` on: an upload that is
cut off is kept in the workspace for a day under a name that follows from both files; a download is kept beside its target under
a name that follows from the version of its source. Whoever copies the same again sends only the rest, and the hash of all is
compared. A smaller file that became shorter while it came down replaces nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import posixpath
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import anyio
import anyio.to_thread

from stead.cli import output
from stead.cli.progress import Progress
from stead.protocol.errors import SteadError
from stead.toolbox.contract import FileKind, Written
from stead.toolbox.trees.contract import Fingerprint

if TYPE_CHECKING:
    from stead.sdk.remote import RemoteToolbox

RESUME_BYTES = 8 << 20
"""Smaller files are copied anew."""
PIECE = 1 << 18
SUFFIX = ".stead-part"
LINKS = 40
MARK = 16
NAME_BYTES = 200
"""How much of a name goes into that of a file that is on its way; a name has 255 bytes at most."""
HASHED_AT_ONCE = 4 << 20


async def send(toolbox: RemoteToolbox, source: str, path: str, *, parents: bool, progress: Progress) -> Written:
    """A local file (or "-", stdin) into the workspace; size and hash are checked at the far end where known. One that grows
    meanwhile has the size that it had at the beginning; one that tells no size, as those of /proc, has all that comes."""
    if source == "-":
        return await toolbox.upload(path, progress.counted(_pieces(sys.stdin.buffer)), parents=parents)
    with Path(source).open("rb") as file:  # noqa: ASYNC230
        about = os.fstat(file.fileno())
        mode = stat.S_IMODE(about.st_mode) & 0o777 if stat.S_ISREG(about.st_mode) else None
        if mode is None or not about.st_size:
            return await toolbox.upload(path, progress.counted(_pieces(file)), mode=mode, parents=parents)
        digest = await anyio.to_thread.run_sync(_digest, file, about.st_size)
        progress.total = about.st_size

        def rest(start: int) -> AsyncIterator[bytes]:
            file.seek(start)
            progress.add(start)
            return progress.counted(_pieces(file, about.st_size - start))

        if about.st_size < RESUME_BYTES:
            return await toolbox.upload(path, rest(0), mode=mode, parents=parents, size=about.st_size, sha256=digest)
        name = _partial(source, about, toolbox, path)
        return await toolbox.resume_upload(
            path, rest, partial=name, mode=mode, parents=parents, size=about.st_size, sha256=digest
        )


async def add(toolbox: RemoteToolbox, source: str, path: str, *, parents: bool, progress: Progress) -> Written:
    """A local file (or "-", stdin) to the end of one in the workspace, piece by piece."""
    with contextlib.nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:  # noqa: ASYNC230
        written = await toolbox.append(path, b"", parents=parents)
        async for piece in progress.counted(_pieces(file)):
            written = await toolbox.append(path, piece)
    return written


async def fetch(toolbox: RemoteToolbox, path: str, target: Path, progress: Progress) -> int:
    """A file of the workspace to here; a broken copy never replaces a whole one. How many bytes it has."""
    if str(target) == "-":
        async for piece in toolbox.download(path):
            await anyio.to_thread.run_sync(to_stdout, piece)
            progress.count += len(piece)
        return progress.count
    target = target.resolve() if target.is_symlink() else target
    found = await toolbox.trees.fingerprint(path)
    if not found.existed:
        raise SteadError("not_found", f"{path}: there is nothing", path=path)
    progress.total = found.size
    if target.exists() and not target.is_file():
        await _fetch_into(toolbox, path, target, progress)
    elif found.size < RESUME_BYTES:
        await _fetch_small(toolbox, path, target, found, progress)
    else:
        await _fetch_large(toolbox, path, target, found, progress)
    return progress.count


async def _fetch_into(toolbox: RemoteToolbox, path: str, target: Path, progress: Progress) -> None:
    """A pipe or a device stays what it is."""
    with await anyio.to_thread.run_sync(lambda: target.open("wb", buffering=0), abandon_on_cancel=True) as file:
        async for piece in toolbox.download(path):
            await anyio.to_thread.run_sync(output.write_all, file.fileno(), piece)
            progress.add(len(piece))


async def _fetch_small(toolbox: RemoteToolbox, path: str, target: Path, found: Fingerprint, progress: Progress) -> None:
    fresh = tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{_short(target.name)}.", delete=False)  # noqa: SIM115
    try:
        with fresh:
            async for piece in toolbox.download(path):
                fresh.write(piece)
                progress.add(len(piece))
        if progress.count < found.size and (await toolbox.trees.fingerprint(path)).etag != found.etag:
            raise _changed(path)
        await _place(toolbox, path, Path(fresh.name), target)
    except BaseException:
        Path(fresh.name).unlink(missing_ok=True)
        raise


async def _fetch_large(toolbox: RemoteToolbox, path: str, target: Path, found: Fingerprint, progress: Progress) -> None:
    part = _part(target, found)
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SteadError("conflict", f"{target}: another copy to it is under way") from None
        start = file.tell()
        if start > found.size:
            file.truncate(start := 0)
        progress.add(start)
        theirs: list[Fingerprint] = []
        hasher = _Hasher(part)
        with hasher.file:
            async with anyio.create_task_group() as group:
                group.start_soon(_hashed, toolbox, path, theirs)
                group.start_soon(hasher.run, found.size)
                async for piece in toolbox.download(path, start, found.size - start):
                    file.write(piece)
                    progress.add(len(piece))
                    hasher.written(file)
                file.flush()
                hasher.end()
        if theirs[0].etag != found.etag or theirs[0].sha256 != hasher.digest.hexdigest():
            part.unlink()
            raise _changed(path)
        await _place(toolbox, path, part, target)


def _changed(path: str) -> SteadError:
    words = f"{path} was changed while it was copied; `stead files cat` takes it as it comes"
    return SteadError("precondition_failed", words, path=path)


class _Hasher:
    """The hash of a file that grows."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.digest = hashlib.sha256()
        self._done = 0
        self._until = path.stat().st_size
        self._ended = False
        self._more = anyio.Event()

    def written(self, file: BinaryIO) -> None:
        """More is there; it is looked at when that is worth while."""
        if file.tell() - self._until >= HASHED_AT_ONCE:
            file.flush()
            self._until = file.tell()
            self._more.set()

    def end(self) -> None:
        self._ended = True
        self._more.set()

    async def run(self, size: int) -> None:
        """To the end of what was written; a file that shrank meanwhile has another hash."""
        while not self._ended:
            await self._catch_up(self._until)
            await self._more.wait()
            self._more = anyio.Event()
        await self._catch_up(size)

    async def _catch_up(self, until: int) -> None:
        while self._done < until:
            piece = await anyio.to_thread.run_sync(self.file.read, min(HASHED_AT_ONCE, until - self._done))
            if not piece:
                return
            await anyio.to_thread.run_sync(self.digest.update, piece)
            self._done += len(piece)


async def _hashed(toolbox: RemoteToolbox, path: str, found: list[Fingerprint]) -> None:
    """The far end reads it while it comes."""
    found.append(await toolbox.trees.fingerprint(path, sha256=True))


async def _place(toolbox: RemoteToolbox, path: str, fresh: Path, target: Path) -> None:
    fresh.chmod(await mode_of(toolbox, path) & ~umask())
    fresh.replace(target)


async def mode_of(toolbox: RemoteToolbox, path: str) -> int:
    """The permissions of a file, or of the one that a link leads to."""
    for _ in range(LINKS):
        found = await toolbox.stat(path)
        if found.kind is not FileKind.LINK:
            return found.mode & 0o777
        path = posixpath.join(posixpath.dirname(path), found.target)
    raise SteadError("path_invalid", f"{path}: more than {LINKS} links", path=path)


def _part(target: Path, found: Fingerprint) -> Path:
    """Where the download of this version grows; what is left of other versions goes."""
    prefix = f".{_short(target.name)}."
    mark = hashlib.sha256(f"{found.etag} {target.name}".encode("utf-8", "surrogateescape")).hexdigest()[:MARK]
    for other in target.parent.glob(f"{_literal(prefix)}{'[0-9a-f]' * MARK}{SUFFIX}"):
        if other.name != f"{prefix}{mark}{SUFFIX}":
            other.unlink(missing_ok=True)
    return target.parent / f"{prefix}{mark}{SUFFIX}"


def _short(name: str) -> str:
    """As much of a name as leaves room for more."""
    return name.encode("utf-8", "surrogateescape")[:NAME_BYTES].decode("utf-8", "ignore")


def _literal(text: str) -> str:
    """For a glob."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _partial(source: str, about: os.stat_result, toolbox: RemoteToolbox, path: str) -> str:
    """The name of an upload: the same for the same version of a file to the same place."""
    facts = (str(Path(source).resolve()), about.st_size, about.st_mtime_ns, about.st_ino, toolbox.workspace_id, path)
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


async def _pieces(file: BinaryIO, most: int = sys.maxsize) -> AsyncIterator[bytes]:
    while piece := await anyio.to_thread.run_sync(file.read, min(PIECE, most), abandon_on_cancel=True):
        most -= len(piece)
        yield piece


def _digest(file: BinaryIO, size: int) -> str:
    """Of so much from its beginning."""
    digest = hashlib.sha256()
    while piece := file.read(min(HASHED_AT_ONCE, size)):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def to_stdout(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
