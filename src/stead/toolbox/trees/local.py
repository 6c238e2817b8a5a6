"""Trees of files of this place.

Contract: `work(place)` is the area's work. What grows with the content runs in slices: it ends soon when it is cancelled.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Generator
from pathlib import Path

import msgspec

from stead.protocol.errors import SteadError
from stead.toolbox import confine, etags
from stead.toolbox.confine import QUIET, Location
from stead.toolbox.contract import LIST_ENTRIES, FileKind, Stat
from stead.toolbox.files import Files
from stead.toolbox.operations import Work
from stead.toolbox.place import Place
from stead.toolbox.trees import contract as t
from stead.toolbox.trees.copying import copy
from stead.toolbox.trees.slices import driven
from stead.toolbox.trees.walk import Choice, Entry, judged, walk

LIST_BYTES = 1 << 20
"""How much one answer of a list carries, and one entry more."""
_BLOCK = 1 << 20
_HELD = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | QUIET


def work(place: Place) -> Work:
    """What does each operation."""
    files = place.files
    return {
        t.LIST.name: lambda p: driven(place, listed(files, p)),
        t.IGNORED.name: lambda p: place.in_thread(ignored, files, p),
        t.COPY.name: lambda p: driven(place, copy(files, p)),
        t.CHMOD.name: lambda p: driven(place, changed(files, p)),
        t.FINGERPRINTS.name: lambda p: driven(place, fingerprints(files, p)),
        t.DELETE.name: lambda p: driven(place, deleted(files, p)),
    }


def listed(files: Files, p: t.ListTree) -> Generator[None, None, t.Tree]:
    """As many entries as one answer carries."""
    if not 1 <= p.limit <= LIST_ENTRIES:
        raise SteadError("invalid", f"limit must be 1 to {LIST_ENTRIES}", field="limit")
    choice = Choice(ignore=p.ignore, include=p.include, exclude=p.exclude, depth=p.depth)
    base = files.root.relative(p.path)
    prefix = "" if base == "." else f"{base}/"
    found: list[Stat] = []
    size, cursor = 0, ""
    entries = walk(files.root, p.path, choice, p.after)
    try:
        for entry in entries:
            if len(found) == p.limit or size > LIST_BYTES:
                return t.Tree(entries=found, cursor=cursor, unread=_texts(choice.unread))
            found.append(told(entry, prefix))
            size += len(msgspec.json.encode(found[-1]))
            cursor = entry.cursor
            yield
    finally:
        entries.close()
    return t.Tree(entries=found, unread=_texts(choice.unread))


def ignored(files: Files, p: t.JudgeNames) -> t.Ignored:
    """By the rules as they are now."""
    _check_names(p.names)
    return t.Ignored(names=judged(files.root, p.path, p.names))


def told(entry: Entry, prefix: str = "") -> Stat:
    """An entry as answers give it."""
    found = entry.found
    return Stat(
        path=_text(prefix + entry.path),
        kind=_kind(found.st_mode),
        size=found.st_size,
        mode=stat.S_IMODE(found.st_mode),
        modified=found.st_mtime,
        uid=found.st_uid,
        gid=found.st_gid,
        target=_text(entry.target()) if entry.is_link else "",
    )


def changed(files: Files, p: t.ChangeMode) -> Generator[None, None, t.Changed]:
    """The modes of what is inside first: a directory may be closed by its own."""
    if not 0 <= p.mode <= 0o7777:
        raise SteadError("invalid", "mode must be 0 to 07777", field="mode")
    count = 0
    with files.root.locate(p.path, follow=True) as at, confine.errors(p.path):
        directory = stat.S_ISDIR(os.stat(at.name, dir_fd=at.directory, follow_symlinks=False).st_mode)
        if p.recursive and directory:
            inner: list[str] = []
            for entry in walk(files.root, p.path, Choice()):
                if entry.is_directory:
                    inner.append(entry.path)
                elif entry.is_file:
                    count += _mode(Location([os.dup(entry.directory)], entry.name), p.mode)
                yield
            for path in reversed(inner):
                count += _mode(files.root.locate(f"{p.path}/{path}", follow=False), p.mode)
                yield
        count += _mode(Location([os.dup(at.directory)], at.name), p.mode)
    return t.Changed(count=count)


def _mode(at: Location, mode: int) -> int:
    """Sets it on what is there now, never on what a link leads to."""
    with at:
        descriptor = os.open(at.name, _HELD, dir_fd=at.directory)
        try:
            if stat.S_ISLNK(os.fstat(descriptor).st_mode):
                return 0
            if _HELD & getattr(os, "O_PATH", 0):
                Path(f"/proc/self/fd/{descriptor}").chmod(mode)
            else:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
    return 1


def fingerprints(files: Files, p: t.Fingerprints) -> Generator[None, None, t.FingerprintList]:
    """One after the other."""
    _check_names(p.paths)
    found: list[t.Fingerprint] = []
    for path in p.paths:
        yield from _fingerprint(files, path, found, sha256=p.sha256)
    return t.FingerprintList(fingerprints=found)


def _fingerprint(files: Files, path: str, found: list[t.Fingerprint], *, sha256: bool) -> Generator[None, None, None]:
    try:
        descriptor = files.root.open(path, os.O_RDONLY | QUIET)
    except SteadError as error:
        if error.code != "not_found":
            raise
        found.append(t.Fingerprint(path=files.root.relative(path), existed=False))
        return
    try:
        with confine.errors(path):
            about = os.fstat(descriptor)
            digest = ""
            if sha256 and stat.S_ISREG(about.st_mode):
                digest = yield from _hashed(descriptor)
        shown = files.root.relative(path)
        found.append(t.Fingerprint(path=shown, existed=True, size=about.st_size, etag=etags.of(about), sha256=digest))
    finally:
        os.close(descriptor)


def _hashed(descriptor: int) -> Generator[None, None, str]:
    digest = hashlib.sha256()
    while piece := os.read(descriptor, _BLOCK):
        digest.update(piece)
        yield
    return digest.hexdigest()


def deleted(files: Files, p: t.DeleteMany) -> Generator[None, None, t.DeletedMany]:
    """One after the other."""
    _check_names(p.paths)
    count = 0
    for path in p.paths:
        count += files.delete(path, recursive=True).existed
        yield
    return t.DeletedMany(count=count)


def _check_names(paths: list[str]) -> None:
    if len(paths) > t.NAMES:
        raise SteadError("too_large", f"one call takes at most {t.NAMES} paths")


def _text(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode(errors="replace")


def _texts(names: list[str]) -> list[str]:
    return [_text(name) for name in names[:100]]


def _kind(mode: int) -> FileKind:
    if stat.S_ISREG(mode):
        return FileKind.FILE
    if stat.S_ISDIR(mode):
        return FileKind.DIRECTORY
    return FileKind.LINK if stat.S_ISLNK(mode) else FileKind.OTHER
