"""The files of a workspace, known at once: listed by ripgrep when first wanted, then kept right by the watch.

Contract: `FileList(place)` is owned by the place; `await files.of(ignored)` is a `Listing` as of now: `paths` sorted, hidden
ones among them. What ignore files leave out is in it only with `ignored`. After `IDLE_SECONDS` without a question the watch is
let go. `truncated` says that there are more than `MOST`.
"""

from __future__ import annotations

import asyncio
import os
import stat
from asyncio import StreamReader, TimerHandle

from stead.protocol.errors import SteadError
from stead.toolbox.ignoring.levels import NAMES
from stead.toolbox.place import Place
from stead.toolbox.search import ripgrep
from stead.toolbox.search.contract import Where
from stead.toolbox.watch.contract import Change, ChangeKind, WatchFiles
from stead.toolbox.watch.hub import Reading, hub

MOST = 500_000
IDLE_SECONDS = 600.0
_DIRECTORIES = 16
"""With more directories renamed or removed at once it is quicker to list anew."""
_PIECE = 1 << 18


class Listing:
    """All files at one moment."""

    def __init__(self, paths: list[str], *, truncated: bool) -> None:
        self.paths = paths
        self.lower = [path.lower() for path in paths]
        self.truncated = truncated


class FileList:
    """The lists of one place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._kept: dict[bool, Kept] = {}
        self._timer: TimerHandle | None = None

    async def of(self, *, ignored: bool) -> Listing:
        """As of now."""
        kept = self._kept.setdefault(ignored, Kept(self._place, ignored=ignored))
        self._rest()
        return await kept.listing()

    def close(self) -> None:
        """The watch ends with its hub."""
        if self._timer is not None:
            self._timer.cancel()
        self._kept.clear()

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(IDLE_SECONDS, self._let_go)

    def _let_go(self) -> None:
        kept, self._kept = self._kept, {}
        for each in kept.values():
            each.let_go()


class Kept:
    """One list, with the watch that keeps it right."""

    def __init__(self, place: Place, *, ignored: bool) -> None:
        self._place = place
        self._ignored = ignored
        self._lock = asyncio.Lock()
        self._reading: Reading | None = None
        self._paths: set[str] | None = None
        self._truncated = False
        self._fresh = False
        self._listing: Listing | None = None

    async def listing(self) -> Listing:
        async with self._lock:
            if self._reading is None:
                self._reading = await hub(self._place).join(WatchFiles(ignored=self._ignored))
            try:
                changes = await self._reading.now()
            except SteadError:
                self.let_go()
                raise
            if changes:
                paths, self._paths, self._listing = self._paths, None, None  # who gives up now leaves nothing half done
                self._paths = await self._place.in_thread(self._changed, paths, changes)
                self._fresh = False
            if self._paths is None:
                self._listing = None
                self._paths, self._truncated = await listed(self._place, ignored=self._ignored)
                self._fresh = True
            if self._listing is None:
                self._listing = await self._place.in_thread(_listing, self._paths, self._truncated)
            return self._listing

    def let_go(self) -> None:
        """The watch may end."""
        if self._reading is not None:
            hub(self._place).leave(self._reading)
        self._reading, self._paths, self._listing = None, None, None

    def _changed(self, paths: set[str] | None, changes: list[Change]) -> set[str] | None:
        """With the changes; None when all has to be listed anew."""
        if paths is None or self._truncated or sum(_moves(change) for change in changes) > _DIRECTORIES:
            return None
        renamed = any(change.directory and change.kind is ChangeKind.RENAMED for change in changes)
        if renamed and self._fresh:  # perhaps while it was listed: neither name may be in the list
            return None
        for change in changes:
            if _anew(change):
                return None
            if change.directory:
                paths = _directory(paths, change)
                continue
            paths.discard(change.previous)
            there = change.kind is not ChangeKind.DELETED and self._regular(change.path)
            if there is None and renamed:
                return None
            if there and not _in_git(change.path):
                paths.add(change.path)
            else:
                paths.discard(change.path)
        return paths

    def _regular(self, path: str) -> bool | None:
        """None when it is there no more; it may have been moved on."""
        try:
            return stat.S_ISREG(os.lstat(f"{self._place.root.path}/{path}").st_mode)
        except OSError:
            return None


async def listed(place: Place, *, ignored: bool, path: str = ".") -> tuple[set[str], bool]:
    """What ripgrep would search, hidden files among it; at most `MOST`, and whether there are more."""
    found: set[str] = set()
    async with ripgrep.started(place, ["--files", "--null"], Where(path=path, hidden=True, ignored=ignored)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        async with ripgrep.complaints(process.stderr) as complaints:
            await _take(process.stdout, found)
            if len(found) < MOST and (code := await process.wait()) < 0:
                raise SteadError("program_failed", f"ripgrep ended with {code}: {await complaints}".strip(": "))
    return found, len(found) >= MOST


async def _take(reader: StreamReader, found: set[str]) -> None:
    rest = b""
    while (piece := await reader.read(_PIECE)) and len(found) < MOST:
        *whole, rest = (rest + piece).split(b"\0")
        found.update(ripgrep.within(path) for path in whole)


def _listing(paths: set[str], truncated: bool) -> Listing:
    return Listing(sorted(paths), truncated=truncated)


def _anew(change: Change) -> bool:
    """Whether other files than those that are told may be in the list now."""
    ends = (change.path, change.previous)
    if change.overflow or not NAMES.isdisjoint(path.rpartition("/")[2] for path in ends):
        return True
    return change.directory and change.kind is ChangeKind.RENAMED and any(map(_in_git, ends))


def _in_git(path: str) -> bool:
    """What a watch tells that looks at what is ignored, too, and a search leaves out."""
    return ".git" in path.split("/")


def _moves(change: Change) -> bool:
    return change.directory and change.kind in {ChangeKind.RENAMED, ChangeKind.DELETED}


def _directory(paths: set[str], change: Change) -> set[str]:
    """What was in a directory is elsewhere or gone."""
    if change.kind is ChangeKind.DELETED:
        inside = change.path + "/"
        return {path for path in paths if not path.startswith(inside)}
    if change.kind is ChangeKind.RENAMED:
        inside = change.previous + "/"
        return {f"{change.path}/{path[len(inside) :]}" if path.startswith(inside) else path for path in paths}
    return paths
