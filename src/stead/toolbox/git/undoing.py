"""What git leaves half done when the disk becomes full or the call is given up, taken back.

Contract: `moving` is a context in which git moves a working tree to another commit, one call after the other: where the disk
is too full for that, or who waits stops before git is there, working tree, index and HEAD are again as they were, also when git
had replaced or removed files already, and the same call can be made again. What was not touched meanwhile, by the clock of the
file system, is left alone. Where it cannot be put back, the error says so. `staging` does so with the index alone, and only for
a full disk; `reserved` holds some room, which whoever undoes something then has.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import QUIET
from stead.toolbox.place import Place

if TYPE_CHECKING:
    from stead.toolbox.git.command import Git, Repository

RESERVE_BYTES = 1 << 16
"""Held while a working tree moves, so that there is room for putting it back."""
_INDEX, _HEAD = "index", "HEAD"
_HALF_WAY = frozenset({"disk_full", "timeout", "cancelled"})
"""Ends at which git may not be there. On a full disk it may say that it is."""


@contextlib.asynccontextmanager
async def moving(git: Git, repository: Repository, target: str, *, branch: str = "") -> AsyncIterator[None]:
    """On the way to a commit. A `branch` that is made there goes again."""
    async with git.alone(repository):
        with contextlib.ExitStack() as stack:
            before = await git.place.in_thread(stack.enter_context, _kept(git.place, repository.directory))
            try:
                yield
            except (SteadError, asyncio.CancelledError) as error:
                why = error.code if isinstance(error, SteadError) else "cancelled"
                if before is None or why not in _HALF_WAY:
                    raise
                with anyio.CancelScope(shield=True):
                    if why == "disk_full" or (await git.head(repository)).commit != target:
                        await _put_back(git, repository, before, target, branch, error)
                raise


@contextlib.asynccontextmanager
async def staging(git: Git, repository: Repository) -> AsyncIterator[None]:
    """What is made of the index comes to nothing: it is again as it was."""
    with contextlib.ExitStack() as stack:
        before = await git.place.in_thread(stack.enter_context, _kept(git.place, repository.directory, reserve=0))
        try:
            yield
        except SteadError as error:
            if error.code == "disk_full" and before is not None:
                await git.place.in_thread(_index_back, before)
            raise


@contextlib.asynccontextmanager
async def reserved(git: Git, repository: Repository) -> AsyncIterator[None]:
    """Its end gives the room back."""
    with contextlib.ExitStack() as stack:
        await git.place.in_thread(stack.enter_context, _kept(git.place, repository.directory))
        yield


class _Before(NamedTuple):
    """The git directory, the name that the index is kept under, that of the reserve, since when files may have changed, and
    what HEAD said."""

    directory: int
    kept: str
    reserve: str
    since: int
    head: str

    @property
    def revision(self) -> str:
        """The branch that HEAD stood for, or the commit."""
        return self.head.removeprefix("ref: ")


@contextlib.contextmanager
def _kept(place: Place, directory: str, *, reserve: int = RESERVE_BYTES) -> Iterator[_Before | None]:
    """A second name for the index, which git replaces and never writes into, and some room for putting things back. None
    where there is no index to keep; "disk_full" where there is no room, before anything is touched."""
    with contextlib.ExitStack() as stack:
        descriptor = place.root.open(directory, os.O_RDONLY | os.O_DIRECTORY | QUIET)
        stack.callback(os.close, descriptor)
        names = [stack.enter_context(place.files.hidden(descriptor)) for _ in range(2)]
        for name in names:
            stack.callback(_remove, descriptor, name)
        try:
            before = _keep(descriptor, names[0], names[1], reserve)
        except OSError as error:
            before = None
            found = confine.typed(error, directory)
            if found.code == "disk_full":
                raise found from error
        yield before


def _keep(directory: int, kept: str, reserve: str, size: int) -> _Before:
    os.link(_INDEX, kept, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    since = os.stat(kept, dir_fd=directory, follow_symlinks=False).st_ctime_ns
    if size:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(reserve, flags, 0o600, dir_fd=directory), "wb") as file:
            file.write(os.urandom(size))
    return _Before(directory, kept, reserve, since, _head(directory))


def _remove(directory: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _head(directory: int) -> str:
    with os.fdopen(os.open(_HEAD, os.O_RDONLY | os.O_NOFOLLOW | QUIET, dir_fd=directory), "rb") as file:
        return os.fsdecode(file.read(confine.PATH_BYTES)).strip()


async def _put_back(
    git: Git,
    repository: Repository,
    before: _Before,
    target: str,
    branch: str,
    error: SteadError | asyncio.CancelledError,
) -> None:
    """Raises the error with more words where that cannot be."""
    try:
        await git.place.in_thread(_index_back, before)
        removed, restored = await _half_done(git, repository, before, target)
        for path in removed:
            await git.place.in_thread(git.place.files.delete, path)
        if restored:
            names = b"".join(os.fsencode(name) + b"\0" for name in restored)
            await git.act(repository.top, ["checkout-index", "--force", "--quiet", "-z", "--stdin"], stdin=names)
        await _head_back(git, repository, before)
        if branch:
            await git.act(repository.top, ["update-ref", "-d", f"refs/heads/{branch}", target], accept=(0, 1, 128))
    except (SteadError, OSError) as why:
        found = error if isinstance(error, SteadError) else SteadError("cancelled", "git was given up")
        words = f"{found.message}; the working tree could not be put back as it was: {why}"
        raise SteadError(found.code, words, **found.details) from why


def _index_back(before: _Before) -> None:
    _remove(before.directory, before.reserve)
    os.rename(before.kept, _INDEX, src_dir_fd=before.directory, dst_dir_fd=before.directory)


async def _half_done(git: Git, repository: Repository, before: _Before, commit: str) -> tuple[list[str], list[str]]:
    """What is to be removed (absolute), and what is to be as in the index (relative to the top): of that which git moves."""
    told = await _names(git, repository, ["diff-index", "--cached", "-z", "--no-renames", "--name-status", commit])
    kinds = dict(zip(told[1::2], told[::2], strict=True))
    asked = ["rev-parse", "--verify", "--quiet", before.revision]
    base = os.fsdecode((await git.look(repository.top, asked, accept=(0, 1))).stdout).strip()
    between = ["diff-tree", "-r", "-z", "--no-renames", "--name-only", base, commit]
    moves = set(await _names(git, repository, between)) if base else set(kinds)
    damaged = set(await _names(git, repository, ["diff-files", "-z", "--name-only"]))
    new = [f"{repository.top}/{name}" for name, kind in kinds.items() if name in moves and kind == "D"]
    old = [name for name, kind in kinds.items() if name in moves & damaged and kind != "D"]
    changed = [name for name in old if _touched(repository.top, name, before.since)]
    return [path for path in new if os.path.lexists(path) and _touched(repository.top, path, before.since)], changed


async def _names(git: Git, repository: Repository, arguments: list[str]) -> list[str]:
    found = await git.look(repository.top, arguments)
    if found.clipped:
        raise SteadError("too_large", "too many files differ")
    return os.fsdecode(found.stdout).split("\0")[:-1]


def _touched(top: str, name: str, since: int) -> bool:
    """Whether it, or what was nearest to it and still is there, has changed since."""
    path = Path(top, name)
    while not os.path.lexists(path):
        path = path.parent
    return path.lstat().st_ctime_ns >= since


async def _head_back(git: Git, repository: Repository, before: _Before) -> None:
    if await git.place.in_thread(_head, before.directory) != before.head:
        detached = before.revision == before.head
        verb = ["update-ref", "--no-deref", _HEAD] if detached else ["symbolic-ref", _HEAD]
        await git.act(repository.top, [*verb, before.revision])
