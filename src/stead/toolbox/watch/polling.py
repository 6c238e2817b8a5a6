"""A workspace looked at again and again, where the system does not tell what happens.

Contract: `Polled(root, pending, ignored)`; `begin` takes what is there, `look` puts into `pending` what is different since. A
file or directory that is elsewhere unchanged was renamed. `gone` is true when the root is no more.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.ignoring.levels import Level, entered
from stead.toolbox.watch import mounts
from stead.toolbox.watch.pending import Pending

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Seen(NamedTuple):
    """What tells one state of a thing from another."""

    directory: bool
    inode: int
    modified: int
    size: int
    mode: int


Entries = dict[str, Seen]


class Polled:
    """What was there when it was last looked at."""

    def __init__(self, root: Root, pending: Pending, *, ignored: bool = False) -> None:
        self.gone = False
        self.missed = 0
        self.directories = 0
        self._root = root
        self._base = os.path.abspath(root.path).rstrip("/")  # noqa: PTH100 (links stay)
        self._pending = pending
        self._ignored = ignored
        self._state = mounts.state(self._base or "/")
        self._entries: Entries = {}

    def begin(self) -> None:
        self._entries = self._walk()

    def look(self) -> None:
        """What is different now."""
        before, after = self._entries, self._walk()
        self._entries = after
        self.gone = self._is_gone()
        for path in [path for path, seen in before.items() if not seen.directory and _is_directory(after, path)]:
            self._pending.deleted(path, directory=False)
            del before[path]
        for previous, path in _renamed(before, after):
            self._pending.renamed(previous, path, directory=after[path].directory, over=path in before)
            _move(before, previous, path)
        for path in sorted(before.keys() - after.keys(), reverse=True):
            self._pending.deleted(path, directory=before[path].directory)
        for path in sorted(after):
            old, new = before.get(path), after[path]
            if old is None:
                self._pending.created(path, directory=new.directory)
            elif old.directory != new.directory:
                self._pending.deleted(path, directory=old.directory)
                self._pending.created(path, directory=new.directory)
            elif old.mode != new.mode or (old != new and not new.directory):
                self._pending.modified(path, directory=new.directory)

    def _is_gone(self) -> bool:
        """Also when something else is there now."""
        try:
            return not os.path.samestat(Path(self._root.path).stat(), os.fstat(self._root.descriptor))
        except OSError:
            return True

    def _walk(self) -> Entries:
        found: Entries = {}
        todo: list[tuple[str, Level | None]] = [("", None if self._ignored else Level.above(self._base or "/"))]
        self.directories = 0
        while todo:
            path, level = todo.pop()
            try:
                descriptor = self._root.open(path or ".", _OPEN)
            except SteadError:
                continue
            try:
                self.directories += 1
                todo += self._directory(found, path, level, descriptor)
            finally:
                os.close(descriptor)
        return found

    def _directory(
        self, found: Entries, path: str, level: Level | None, descriptor: int
    ) -> list[tuple[str, Level | None]]:
        """Takes one directory; those in it come next. One that is gone, or cannot be looked into, has nothing in it."""
        base = f"{self._base}/{path}".rstrip("/")
        try:
            with os.scandir(descriptor) as entries:
                listed = list(entries)
        except OSError:
            return []
        if not self._ignored:
            level = entered(level, base, descriptor, {entry.name for entry in listed})
        below: list[tuple[str, Level | None]] = []
        for entry in listed:
            directory = entry.is_dir(follow_symlinks=False)
            if not self._ignored and (entry.name == ".git" or _out(level, f"{base}/{entry.name}", directory)):
                continue
            try:
                stat = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            inside = f"{path}/{entry.name}" if path else entry.name
            size = 0 if directory else stat.st_size
            found[_told(inside)] = Seen(directory, stat.st_ino, stat.st_mtime_ns, size, stat.st_mode)
            if directory and f"{base}/{entry.name}" not in self._state:
                below.append((inside, level))
        return below


def _told(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")


def _out(level: Level | None, path: str, directory: bool) -> bool:
    return level is not None and level.ignores(path, directory=directory)


def _renamed(before: Entries, after: Entries) -> list[tuple[str, str]]:
    """What is elsewhere unchanged: from where to where, directories before what is in them."""
    gone: dict[Seen, str] = {}
    for path in before.keys() - after.keys():
        gone[before[path]] = path
    found: list[tuple[str, str]] = []
    for path in sorted(after.keys() - before.keys()) if gone else ():
        previous = gone.get(after[path])
        if previous is not None and not any(previous == a or _below(previous, a) for a, _ in found):
            found.append((previous, path))
    return found


def _is_directory(entries: Entries, path: str) -> bool:
    return path in entries and entries[path].directory


def _below(path: str, directory: str) -> bool:
    return path.startswith(directory + "/")


def _move(entries: Entries, previous: str, path: str) -> None:
    """As if it had been there, with all that is in it."""
    entries[path] = entries.pop(previous)
    if entries[path].directory:
        for inside in [each for each in entries if _below(each, previous)]:
            entries[path + inside[len(previous) :]] = entries.pop(inside)
